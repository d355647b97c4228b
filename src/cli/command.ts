import type { Command } from "commander";
import { list, type Shape, TEXT } from "../../lib/core/shape.ts";
import type { CommandContext } from "./context.ts";
import { withVariables } from "./settings/defaults.ts";
import type { Host } from "./host.ts";

/** The access that a command needs to declare itself and to run later. */
export interface Cli {
  readonly host: Host;
  /** Called when a command runs; `root` is the value of --root. */
  context(root: string | undefined): CommandContext;
  /** Sets the exit status, when it is not 0 and no error was thrown. */
  setStatus(code: number): void;
}

/** Declares a command; its work is a function of its arguments and the context. */
export function command(
  program: Command,
  cli: Cli,
  usage: string,
  run: (context: CommandContext, args: readonly string[], options: Record<string, unknown>) => Promise<number | void>,
): Command {
  return program.command(usage).action(async function act(this: Command) {
    const { root, ...options } = this.optsWithGlobals<{ root?: string }>();
    const status = await run(cli.context(root), this.args, withVariables(this, options, cli.host.env));
    if (typeof status === "number") cli.setStatus(status);
  });
}

/** Converts the options of a command to their declared types. */
export function optionsAs<T extends object>(
  shape: Shape<T>,
  options: Record<string, unknown>,
): T & Record<string, unknown> {
  if (shape.fits(options)) return options;
  throw new Error(`A flag is not what its command declares: ${shape.fault(options)?.place}`);
}

/** Returns the values of a repeatable flag. */
export function textsIn(options: Record<string, unknown>, name: string): readonly string[] {
  const value = options[name];
  if (TEXTS.fits(value)) return value;
  throw new Error(`The flag "${name}" is not declared as a list`);
}

const TEXTS = list(TEXT);

/** Makes the end of a command's help: command lines, each with its purpose. */
export function examples(lines: readonly (readonly [line: string, what: string])[]): string {
  const width = Math.max(...lines.map(([line]) => line.length));
  return ["", "Examples:", ...lines.map(([line, what]) => `  ${line.padEnd(width)}  ${what}`)].join("\n");
}
