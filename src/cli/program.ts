import { Command } from "commander";
import type { Cli } from "./command.ts";
import { buildCommand } from "./commands/build.ts";
import { copyCommand } from "./commands/copy.ts";
import { cpCommand } from "./commands/cp.ts";
import { dfCommand } from "./commands/df.ts";
import { diffCommand } from "./commands/diff.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { duCommand } from "./commands/du.ts";
import { exportCommand } from "./commands/export.ts";
import { fsckCommand } from "./commands/fsck.ts";
import { historyCommand } from "./commands/history.ts";
import { imagesCommand } from "./commands/images.ts";
import { imagetoolsCreateCommand, imagetoolsInspectCommand } from "./commands/imagetools.ts";
import { importCommand } from "./commands/import.ts";
import { infoCommand } from "./commands/info.ts";
import { inspectCommand } from "./commands/inspect.ts";
import { loadCommand } from "./commands/load.ts";
import { loginCommand } from "./commands/login.ts";
import { logoutCommand } from "./commands/logout.ts";
import { lsCommand } from "./commands/ls.ts";
import { manifestCommands } from "./commands/manifest.ts";
import { pruneCommand } from "./commands/prune.ts";
import { pullCommand } from "./commands/pull.ts";
import { pushCommand } from "./commands/push.ts";
import { registryCheckCommand } from "./commands/registry.ts";
import { rmiCommand } from "./commands/rmi.ts";
import { runCommand } from "./commands/run.ts";
import { saveCommand } from "./commands/save.ts";
import { shellCommand } from "./commands/shell.ts";
import { sizeCommand } from "./commands/size.ts";
import { systemResetCommand } from "./commands/system-reset.ts";
import { tagCommand } from "./commands/tag.ts";
import { versionCommand } from "./commands/version.ts";
import { whyCommand } from "./commands/why.ts";
import { VERSION } from "./version.ts";
import { commandIndex } from "./words.ts";

const COMMANDS: Readonly<Record<string, (program: Command, cli: Cli) => void>> = {
  build: buildCommand,
  pull: pullCommand,
  push: pushCommand,
  login: loginCommand,
  logout: logoutCommand,
  "registry-check": registryCheckCommand,
  copy: copyCommand,
  "imagetools-create": imagetoolsCreateCommand,
  "imagetools-inspect": imagetoolsInspectCommand,
  ...manifestCommands(),
  images: imagesCommand,
  inspect: inspectCommand,
  history: historyCommand,
  tag: tagCommand,
  rmi: rmiCommand,
  save: saveCommand,
  load: loadCommand,
  import: importCommand,
  export: exportCommand,
  ls: lsCommand,
  cp: cpCommand,
  size: sizeCommand,
  diff: diffCommand,
  run: runCommand,
  why: whyCommand,
  shell: shellCommand,
  du: duCommand,
  df: dfCommand,
  prune: pruneCommand,
  "system-reset": systemResetCommand,
  fsck: fsckCommand,
  doctor: doctorCommand,
  info: infoCommand,
  version: versionCommand,
};

/** Makes the command line's grammar. Only the requested command is declared: the others would cost time unread. */
export function createProgram(cli: Cli, argv: readonly string[]): Command {
  const meant = argv[commandIndex(argv)];
  if (meant === undefined || !Object.hasOwn(COMMANDS, meant)) return declared(cli, Object.values(COMMANDS));
  if (meant === "build" && prepared !== undefined) {
    const { program, late } = prepared;
    // A program remembers the values it read, so it serves once.
    prepared = undefined;
    late.provide(cli);
    return program;
  }
  return declared(cli, [COMMANDS[meant]]);
}

/** Declares `kiln build` now, so that a startup snapshot contains it: its flags take two milliseconds. */
export function prepareProgram(): void {
  const late = new LateCli();
  const program = declared(late, [COMMANDS["build"]]);
  // commander would make these when it reads the first word.
  for (const command of [program, ...program.commands]) command.helpOption("-h, --help", "display help for command");
  prepared = { program, late };
}

let prepared: { readonly program: Command; readonly late: LateCli } | undefined;

/** A placeholder for the running process, until there is one. */
class LateCli implements Cli {
  #cli: Cli | undefined;

  provide(cli: Cli): void {
    this.#cli = cli;
  }

  get host(): Cli["host"] {
    return this.#known().host;
  }

  context(root: string | undefined): ReturnType<Cli["context"]> {
    return this.#known().context(root);
  }

  setStatus(code: number): void {
    this.#known().setStatus(code);
  }

  #known(): Cli {
    if (this.#cli === undefined) throw new Error("A command ran before the process had started");
    return this.#cli;
  }
}

function declared(cli: Cli, commands: readonly ((typeof COMMANDS)[string] | undefined)[]): Command {
  const program = new Command("kiln")
    .description("Builds container images: one process, no daemon")
    .option("--root <directory>", "where images, cache and logs are kept (KILN_ROOT)")
    .version(`kiln ${VERSION}`, "-v, --version")
    .configureOutput({
      writeOut: (text) => void cli.host.stdout.write(text),
      writeErr: (text) => void cli.host.stderr.write(text),
      // main.ts prints it like every other error.
      outputError: () => undefined,
    })
    .configureHelp({ optionDescription: (option) => option.description })
    .showSuggestionAfterError()
    .exitOverride()
    .enablePositionalOptions();
  for (const declare of commands) declare?.(program, cli);
  return program;
}
