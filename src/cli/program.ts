import { Command } from "commander";
import type { Cli } from "./command.ts";
import { buildCommand } from "./commands/build.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { duCommand } from "./commands/du.ts";
import { fsckCommand } from "./commands/fsck.ts";
import { historyCommand } from "./commands/history.ts";
import { imagesCommand } from "./commands/images.ts";
import { importCommand } from "./commands/import.ts";
import { inspectCommand } from "./commands/inspect.ts";
import { loadCommand } from "./commands/load.ts";
import { pruneCommand } from "./commands/prune.ts";
import { pullCommand } from "./commands/pull.ts";
import { pushCommand } from "./commands/push.ts";
import { rmiCommand } from "./commands/rmi.ts";
import { runCommand } from "./commands/run.ts";
import { saveCommand } from "./commands/save.ts";
import { shellCommand } from "./commands/shell.ts";
import { tagCommand } from "./commands/tag.ts";
import { whyCommand } from "./commands/why.ts";

const COMMANDS: Readonly<Record<string, (program: Command, cli: Cli) => void>> = {
  build: buildCommand,
  pull: pullCommand,
  push: pushCommand,
  images: imagesCommand,
  inspect: inspectCommand,
  history: historyCommand,
  tag: tagCommand,
  rmi: rmiCommand,
  save: saveCommand,
  load: loadCommand,
  import: importCommand,
  run: runCommand,
  why: whyCommand,
  shell: shellCommand,
  du: duCommand,
  prune: pruneCommand,
  fsck: fsckCommand,
  doctor: doctorCommand,
};

/** Flags of `kiln build` whose value, if any, is joined by "=": the word after a bare one is the context. */
const JOINED_FLAGS: ReadonlySet<string> = new Set(["--expect-cached", "--explain"]);

/** The words as commander is to read them: a bare flag of those gets an empty value. */
export function wordsFor(argv: readonly string[]): readonly string[] {
  if (argv.find((word) => Object.hasOwn(COMMANDS, word)) !== "build") return argv;
  return argv.map((word) => (JOINED_FLAGS.has(word) ? `${word}=` : word));
}

/** The command line's grammar. Only the command that is meant is declared: the others cost time and are not read. */
export function createProgram(cli: Cli, argv: readonly string[]): Command {
  const program = new Command("kiln")
    .description("Builds container images: one process, no daemon")
    .option("--root <directory>", "where images, cache and logs are kept (KILN_ROOT)")
    .version("kiln 0.1.0", "-v, --version")
    .configureOutput({
      writeOut: (text) => void cli.host.stdout.write(text),
      writeErr: (text) => void cli.host.stderr.write(text),
    })
    .configureHelp({ optionDescription: (option) => option.description })
    .showSuggestionAfterError()
    .showHelpAfterError("(--help says what there is)")
    .exitOverride()
    .enablePositionalOptions();
  const meant = argv.find((word) => Object.hasOwn(COMMANDS, word));
  const wanted = meant === undefined || argv.includes("help") ? Object.values(COMMANDS) : [COMMANDS[meant]];
  for (const declare of wanted) declare?.(program, cli);
  return program;
}
