import { Command } from "commander";
import type { Cli } from "./command.ts";
import { buildCommand } from "./commands/build.ts";
import { VERSION } from "../../lib/core/version.ts";
import { commandIndex } from "./words.ts";

type Declare = (program: Command, cli: Cli) => void;

/** The commands by name. All but `build` are loaded when they are meant: the startup snapshot holds no others. */
const COMMANDS: Readonly<Record<string, () => Promise<Declare | undefined>>> = {
  build: async () => buildCommand,
  bake: async () => (await import("./commands/bake.ts")).bakeCommand,
  watch: async () => (await import("./commands/watch.ts")).watchCommand,
  serve: async () => (await import("./commands/serve.ts")).serveCommand,
  "compose-build": async () => (await import("./commands/compose.ts")).composeBuildCommand,
  pull: async () => (await import("./commands/pull.ts")).pullCommand,
  push: async () => (await import("./commands/push.ts")).pushCommand,
  login: async () => (await import("./commands/login.ts")).loginCommand,
  logout: async () => (await import("./commands/logout.ts")).logoutCommand,
  "registry-check": async () => (await import("./commands/registry.ts")).registryCheckCommand,
  copy: async () => (await import("./commands/copy.ts")).copyCommand,
  "imagetools-create": async () => (await import("./commands/imagetools.ts")).imagetoolsCreateCommand,
  "imagetools-inspect": async () => (await import("./commands/imagetools.ts")).imagetoolsInspectCommand,
  "manifest-create": async () => (await import("./commands/manifest.ts")).manifestCommands()["manifest-create"],
  "manifest-annotate": async () => (await import("./commands/manifest.ts")).manifestCommands()["manifest-annotate"],
  "manifest-inspect": async () => (await import("./commands/manifest.ts")).manifestCommands()["manifest-inspect"],
  "manifest-push": async () => (await import("./commands/manifest.ts")).manifestCommands()["manifest-push"],
  "manifest-rm": async () => (await import("./commands/manifest.ts")).manifestCommands()["manifest-rm"],
  images: async () => (await import("./commands/images.ts")).imagesCommand,
  inspect: async () => (await import("./commands/inspect.ts")).inspectCommand,
  "builds-ls": async () => (await import("./commands/builds.ts")).buildsLsCommand,
  "builds-show": async () => (await import("./commands/builds.ts")).buildsShowCommand,
  "builds-logs": async () => (await import("./commands/builds.ts")).buildsLogsCommand,
  "builds-open": async () => (await import("./commands/builds-open.ts")).buildsOpenCommand,
  "builds-rm": async () => (await import("./commands/builds.ts")).buildsRmCommand,
  "builds-export": async () => (await import("./commands/builds.ts")).buildsExportCommand,
  "builds-trace": async () => (await import("./commands/builds.ts")).buildsTraceCommand,
  history: async () => (await import("./commands/history.ts")).historyCommand,
  tag: async () => (await import("./commands/tag.ts")).tagCommand,
  rmi: async () => (await import("./commands/rmi.ts")).rmiCommand,
  save: async () => (await import("./commands/save.ts")).saveCommand,
  load: async () => (await import("./commands/load.ts")).loadCommand,
  import: async () => (await import("./commands/import.ts")).importCommand,
  export: async () => (await import("./commands/export.ts")).exportCommand,
  ls: async () => (await import("./commands/ls.ts")).lsCommand,
  cp: async () => (await import("./commands/cp.ts")).cpCommand,
  size: async () => (await import("./commands/size.ts")).sizeCommand,
  diff: async () => (await import("./commands/diff.ts")).diffCommand,
  sbom: async () => (await import("./commands/sbom.ts")).sbomCommand,
  sign: async () => (await import("./commands/sign.ts")).signCommand,
  verify: async () => (await import("./commands/verify.ts")).verifyCommand,
  run: async () => (await import("./commands/run.ts")).runCommand,
  why: async () => (await import("./commands/why.ts")).whyCommand,
  shell: async () => (await import("./commands/shell.ts")).shellCommand,
  du: async () => (await import("./commands/du.ts")).duCommand,
  df: async () => (await import("./commands/df.ts")).dfCommand,
  prune: async () => (await import("./commands/prune.ts")).pruneCommand,
  "system-reset": async () => (await import("./commands/system-reset.ts")).systemResetCommand,
  fsck: async () => (await import("./commands/fsck.ts")).fsckCommand,
  "worker-run": async () => (await import("./commands/worker-run.ts")).workerRunCommand,
  doctor: async () => (await import("./commands/doctor.ts")).doctorCommand,
  info: async () => (await import("./commands/info.ts")).infoCommand,
  version: async () => (await import("./commands/version.ts")).versionCommand,
  config: async () => (await import("./commands/config.ts")).configCommand,
  explain: async () => (await import("./commands/explain.ts")).explainCommand,
  completion: async () => (await import("./commands/completion.ts")).completionCommand,
};

/** Makes the command line's grammar. Only the requested command is declared: the others would cost time unread. */
export async function createProgram(cli: Cli, argv: readonly string[]): Promise<Command> {
  const meant = argv[commandIndex(argv)];
  const load = meant !== undefined && Object.hasOwn(COMMANDS, meant) ? COMMANDS[meant] : undefined;
  // The version needs no commands, and is asked for by scripts.
  if (meant === undefined && argv.some((word) => word === "--version" || word === "-v")) return declared(cli, []);
  // Completion is about all of them.
  if (load === undefined || meant === "completion")
    return declared(cli, await Promise.all(Object.values(COMMANDS).map((one) => one())));
  if (meant === "build" && prepared !== undefined) {
    const { program, late } = prepared;
    // A program remembers the values it read, so it serves once.
    prepared = undefined;
    late.provide(cli);
    return program;
  }
  return declared(cli, [await load()]);
}

/** Declares `kiln build` now, so that a startup snapshot contains it: its flags take two milliseconds. */
export function prepareProgram(): void {
  const late = new LateCli();
  const program = declared(late, [buildCommand]);
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

function declared(cli: Cli, commands: readonly (Declare | undefined)[]): Command {
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
