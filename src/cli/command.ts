import type { Command } from "commander";
import type { CommandContext } from "./context.ts";
import type { Host } from "./host.ts";

/** What a command needs to declare itself and to run later. */
export interface Cli {
  readonly host: Host;
  /** Called when a command runs; `root` is the value of --root. */
  context(root: string | undefined): CommandContext;
  /** The exit status, when it is not 0 and no error was thrown. */
  setStatus(code: number): void;
}

/** A command whose work is a function of its arguments and the context. */
export function command(
  program: Command,
  cli: Cli,
  usage: string,
  run: (context: CommandContext, args: readonly string[], options: Record<string, unknown>) => Promise<number | void>,
): Command {
  return program.command(usage).action(async function act(this: Command) {
    const { root, ...options } = this.optsWithGlobals<{ root?: string }>();
    const status = await run(cli.context(root), this.args, options);
    if (typeof status === "number") cli.setStatus(status);
  });
}

/** The end of a command's help: command lines, and what each is for. */
export function examples(lines: readonly (readonly [line: string, what: string])[]): string {
  const width = Math.max(...lines.map(([line]) => line.length));
  return ["", "Examples:", ...lines.map(([line, what]) => `  ${line.padEnd(width)}  ${what}`)].join("\n");
}
