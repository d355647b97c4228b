import { isUtf8 } from "node:buffer";
import { type Command, CommanderError } from "commander";
import { BuildError } from "../../lib/core/errors.ts";
import { commandContext } from "./context.ts";
import { systemFailure } from "../../lib/core/system-failure.ts";
import { openDebugOutput } from "./debug-output.ts";
import { refuseElsewhere } from "./flags/elsewhere.ts";
import type { Host } from "./host.ts";
import { createProgram } from "./program.ts";
import { printError } from "./print-error.ts";
import { withSettings } from "./settings/effective.ts";
import { kilnWords, refuseGroup } from "./spellings.ts";
import { canonicalWords, commandIndex } from "./words.ts";

/** docker's status for an invalid command line, and that of `kiln run` for a failure of kiln itself. */
const OWN_FAILURE = 125;
/** Commands that end with the status of the program they run. */
const FOREIGN_STATUS: ReadonlySet<string> = new Set(["run", "shell"]);
/** A shell's statuses for a program ended by a signal. */
const SIGNAL_STATUS: Readonly<Partial<Record<NodeJS.Signals, number>>> = { SIGINT: 130, SIGTERM: 143 };

/**
 * Runs one command line, without the program's name.
 * @returns the exit status: 0; 1 after a failure; 125 for an invalid command line; 130 or 143 after a signal. `kiln
 * run` and `kiln shell` return their program's, and 125 after a failure of kiln.
 */
export async function main(given: readonly string[], host: Host): Promise<number> {
  if (given[0] !== "executor") return runWords(given, host);
  const { runExecutor } = await import("./kaniko/executor.ts");
  return runExecutor(given.slice(1), host, runWords);
}

async function runWords(given: readonly string[], bare: Host): Promise<number> {
  const argv = kilnWords(given);
  try {
    return await runWith(argv, await withSettings(bare, argv[commandIndex(argv)]));
  } catch (error) {
    // Only settings are read outside.
    printError(error, bare);
    return OWN_FAILURE;
  }
}

async function runWith(argv: readonly string[], host: Host): Promise<number> {
  const stop = new AbortController();
  let stoppedBy: NodeJS.Signals | undefined;
  using _interrupt = host.onInterrupt((signal) => {
    stoppedBy = signal;
    stop.abort(new BuildError("build/cancelled", `Cancelled by ${signal}`, { cause: signal }));
  });
  using _uncaught = host.onUncaught((error) => {
    printError(systemFailure("go on", error), host);
  });
  let status = 0;
  const program = await createProgram(
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
    using _debug = openDebugOutput(host);
    refuseUndecodable(argv, host);
    refuseGroup(argv);
    await program.parseAsync(canonicalWords(program, argv, refuseElsewhere), { from: "user" });
    return status;
  } catch (error) {
    if (error instanceof CommanderError) {
      // --help and --version end this way too, and the help of a bare `kiln`.
      if (error.exitCode === 0) return 0;
      if (error.code !== "commander.help") printError(usageFailure(error, program, argv), host);
      return OWN_FAILURE;
    }
    const own: unknown = stop.signal.aborted && !(error instanceof BuildError) ? stop.signal.reason : error;
    printError(systemFailure(`run kiln ${argv[commandIndex(argv)] ?? ""}`.trimEnd(), own), host);
    if (stoppedBy !== undefined) return SIGNAL_STATUS[stoppedBy] ?? 1;
    const isUsage = error instanceof BuildError && error.code === "cli/usage";
    return isUsage || FOREIGN_STATUS.has(argv[commandIndex(argv)] ?? "") ? OWN_FAILURE : 1;
  }
}

/** Words of other builders' command lines that are not commands here. */
const ELSEWHERE: Readonly<Partial<Record<string, string>>> = {
  bud: "it is kiln build here",
  ...Object.fromEntries(
    [
      ...["attach", "container", "create", "events", "exec", "kill", "logs", "pause", "port", "ps", "rename"],
      ...["restart", "rm", "start", "stats", "stop", "top", "unpause", "wait"],
    ].map((name) => [
      name,
      "kiln keeps no containers: kiln run ends with its command. For those that stay, kiln build --load=docker -t NAME . and docker",
    ]),
  ),
};

/** Turns commander's error into ours; its suggestion becomes the beginning of the hint. */
function usageFailure(error: CommanderError, program: Command, argv: readonly string[]): BuildError {
  const [message = "", guess] = error.message.replace(/^error: /, "").split(/\n\(Did you mean (.*)\?\)/);
  const command = program.commands.find((one) => one.name() === argv[commandIndex(argv)])?.name();
  const isCommand = error.code === "commander.unknownCommand";
  const told = isCommand ? ELSEWHERE[argv[commandIndex(argv)] ?? ""] : undefined;
  if (told !== undefined) return new BuildError("cli/usage", message.trim(), { hint: told });
  const help = `"kiln ${command === undefined ? "" : `${command} `}--help" lists what there is`;
  return new BuildError("cli/usage", message.trim().replace(/\.$/, ""), {
    hint: guess === undefined ? help : `did you mean ${guess}? ${help}`,
  });
}

/**
 * Refuses arguments that are not UTF-8: Node replaces the bytes by U+FFFD, and a label, a build argument or a path
 * would be another one.
 */
function refuseUndecodable(argv: readonly string[], host: Host): void {
  if (!argv.some((argument) => argument.includes("\ufffd"))) return;
  const bad = host.rawArguments()?.find((bytes) => !isUtf8(bytes));
  if (bad === undefined) return;
  throw new BuildError(
    "cli/usage",
    `Cannot read the argument ${JSON.stringify(bad.toString("utf8"))}: it is not UTF-8`,
  );
}
