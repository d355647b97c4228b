import { type FrameOptions, renderError } from "../../lib/core/code-frame.ts";
import { BuildError } from "../../lib/core/errors.ts";
import { printable } from "../../lib/core/printable.ts";
import { sourceStack } from "./source-stack.ts";
import type { Host } from "./host.ts";

/** Codes whose errors say all there is to say. */
const NO_PAGE: ReadonlySet<string> = new Set(["build/cancelled", "cli/usage"]);

/** Prints a BuildError as its message, place, hint and the command that shows its page; any other error is a bug of ours and shows its stack. */
export function printError(error: unknown, host: Host): void {
  if (error instanceof BuildError) {
    const page = NO_PAGE.has(error.code) ? "" : `  more: kiln explain ${error.code}\n`;
    host.stderr.write(`${renderError(error, frameOptions(host))}\n${page}`);
    return;
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const lines = printable(sourceStack(stack, host.partsDirectory));
  host.stderr.write(`${lines}\nkiln: this is a bug in kiln. Please report it with the lines above.\n`);
}

/** Returns the style for places in a text, and the width for them. */
export function frameOptions(host: Host): FrameOptions {
  const columns = host.stderr.isTTY === true ? (host.stderr.columns ?? 0) : 0;
  return { ...(useColors(host) ? { style: STYLE } : {}), ...(columns > 0 ? { columns } : {}) };
}

/**
 * Tells whether to use colours: never with NO_COLOR (https://no-color.org); always with FORCE_COLOR or CLICOLOR_FORCE; and
 * otherwise on a terminal that knows them.
 */
export function useColors({ env, stderr }: Pick<Host, "env" | "stderr">): boolean {
  if ((env["NO_COLOR"] ?? "") !== "") return false;
  if (isSet(env["FORCE_COLOR"]) || isSet(env["CLICOLOR_FORCE"])) return true;
  return stderr.isTTY === true && env["TERM"] !== "dumb";
}

function isSet(text: string | undefined): boolean {
  return text !== undefined && text !== "" && text !== "0" && text !== "false";
}

const paint =
  (code: number) =>
  (text: string): string =>
    `\u001b[${code}m${text}\u001b[0m`;

const STYLE = { error: paint(31), bold: paint(1), dim: paint(2), hint: paint(36) };
