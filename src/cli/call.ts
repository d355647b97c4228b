import { callDockerfile } from "../engine/call.ts";
import type { BuildOptions } from "../engine/options.ts";
import { renderSpan } from "../../lib/core/code-frame.ts";
import { printable, printableJson } from "../../lib/core/printable.ts";
import { subrequestsJson, subrequestsText } from "../../frontend/subrequests.ts";
import type { Warning } from "../../frontend/lint/warning.ts";
import type { CommandContext } from "./context.ts";
import { frameOptions, printError } from "./print-error.ts";

/** The value of `--call`. */
export interface Call {
  readonly method: "build" | "check" | "outline" | "targets" | "subrequests.describe";
  readonly format: "text" | "json";
  /** True when findings do not fail the command. */
  readonly ignoreStatus: boolean;
}

/** Answers `--call` on standard output. Status 1 when checks found something. */
export async function runCall(
  context: CommandContext,
  options: BuildOptions,
  call: Call & { readonly method: Exclude<Call["method"], "build"> },
): Promise<number> {
  if (call.method === "subrequests.describe") {
    if (call.format === "json") context.print(printableJson(subrequestsJson(), 2));
    else context.host.stdout.write(subrequestsText());
    return 0;
  }
  await using engine = context.openEngine();
  const result = await callDockerfile(engine, options, call.method, context.signal);
  const found = result.warnings.length + (result.error === undefined ? 0 : 1);
  const status = found > 0 && !call.ignoreStatus ? 1 : 0;
  if (call.format === "json") {
    context.print(printableJson(result.json, 2));
    return status;
  }
  if (result.text !== undefined) {
    context.host.stdout.write(printable(result.text));
    return status;
  }
  for (const warning of result.warnings) context.print(`${describe(warning, context)}\n`);
  if (result.error === undefined) context.print(verdict(result.warnings.length));
  else printError(result.error, context.host);
  return status;
}

function describe(warning: Warning, context: CommandContext): string {
  const lines = [
    `WARNING: ${warning.rule}${warning.url === undefined ? "" : ` - ${warning.url}`}`,
    warning.description,
    printable(warning.message),
    "",
    renderSpan(warning.span, frameOptions(context.host)),
  ];
  return lines.join("\n");
}

function verdict(count: number): string {
  if (count === 0) return "Check complete, no warnings found.";
  return count === 1
    ? "Check complete, 1 warning has been found!"
    : `Check complete, ${count} warnings have been found!`;
}
