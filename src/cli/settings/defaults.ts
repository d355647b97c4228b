import type { Command } from "commander";
import { BuildError } from "../../../lib/core/errors.ts";
import { SETTINGS } from "./table.ts";

type Variables = Readonly<Record<string, string | undefined>>;

/**
 * Completes a command's options with what the environment says, where no flag was given.
 * @throws {BuildError} `cli/usage` for a switch that is neither on nor off
 */
export function withVariables(
  command: Command,
  options: Readonly<Record<string, unknown>>,
  env: Variables,
): Record<string, unknown> {
  const completed = { ...options };
  for (const { variable, flag, commands, kind } of SETTINGS) {
    const text = env[variable] ?? "";
    if (text === "" || flag === undefined || !commands.includes(command.name())) continue;
    const name = flag.slice(2).replaceAll(/-(.)/g, (_, letter: string) => letter.toUpperCase());
    if (command.getOptionValueSource(name) === "cli") continue;
    if (kind === "switch") {
      if (isOn(text, variable)) completed[name] = true;
    } else completed[name] = kind === "list" || kind === "paths" ? text.split("\n").filter(Boolean) : text;
  }
  return completed;
}

/**
 * Reads a switch's text.
 * @throws {BuildError} `cli/usage` for one that is neither on nor off
 */
export function isOn(text: string, variable: string): boolean {
  if (/^(?:1|t|true|yes|on)$/i.test(text)) return true;
  if (/^(?:0|f|false|no|off)$/i.test(text)) return false;
  throw new BuildError("cli/usage", `Cannot use ${variable}=${text}: it is neither true nor false`);
}
