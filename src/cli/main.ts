import { CommanderError } from "commander";
import { BuildError } from "../core/errors.ts";
import { commandContext } from "./context.ts";
import type { Host } from "./host.ts";
import { createProgram, wordsFor } from "./program.ts";
import { printError } from "./print-error.ts";

/**
 * Runs one command line, without the program's name.
 * @returns the exit status: 0, 1 for a failed build, command or command line, and what `kiln run`'s process ended with.
 */
export async function main(argv: readonly string[], host: Host): Promise<number> {
  const stop = new AbortController();
  using _interrupt = host.onInterrupt((signal) => {
    stop.abort(new BuildError("build/cancelled", `Cancelled by ${signal}`));
  });
  let status = 0;
  const program = createProgram(
    {
      host,
      context: (root) => commandContext(host, root, stop.signal),
      setStatus: (code) => {
        status = code;
      },
    },
    argv,
  );
  try {
    await program.parseAsync(wordsFor(argv), { from: "user" });
    return status;
  } catch (error) {
    // commander has printed its message; --help and --version end this way too.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 1;
    printError(stop.signal.aborted && !(error instanceof BuildError) ? stop.signal.reason : error, host);
    return 1;
  }
}
