import { type FrameOptions, renderError } from "../../lib/core/code-frame.ts";
import { BuildError } from "../../lib/core/errors.ts";
import { printable } from "../../lib/core/printable.ts";
import { sourceStack } from "./source-stack.ts";
import type { Host } from "./host.ts";

/** A BuildError as its message, place and hint; anything else is a bug of ours and shows its stack. */
export function printError(error: unknown, host: Host): void {
  if (error instanceof BuildError) {
    host.stderr.write(`${renderError(error, frameOptions(host))}\n`);
    return;
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const lines = printable(sourceStack(stack, host.partsDirectory));
  host.stderr.write(`${lines}\nkiln: this is a bug in kiln. Please report it with the lines above.\n`);
}

/** How places in a text are shown. */
export function frameOptions(host: Host): FrameOptions {
  return useColors(host) ? { style: STYLE } : {};
}

/** NO_COLOR (https://no-color.org) and a standard error that is no terminal turn colours off. */
export function useColors(host: Host): boolean {
  return host.stderr.isTTY === true && (host.env["NO_COLOR"] ?? "") === "" && host.env["TERM"] !== "dumb";
}

const paint =
  (code: number) =>
  (text: string): string =>
    `\u001b[${code}m${text}\u001b[0m`;

const STYLE = { error: paint(31), bold: paint(1), dim: paint(2), hint: paint(36) };
