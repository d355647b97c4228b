import { resolve } from "node:path";
import type { Command } from "commander";
import { BuildError } from "../../../lib/core/errors.ts";
import { FLAG, object, optional, TEXT } from "../../../lib/core/shape.ts";
import type { ProgressSink } from "../../../lib/core/progress.ts";
import { watchBuild } from "../../watch/watch.ts";
import type { BuildNews } from "../../watch/watch.ts";
import { type Cli, command, examples, optionsAs } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { type BuildFlags, buildFlagsShape } from "../flags/build-flags.ts";
import { openProgress, progressMode } from "../progress-output.ts";
import { writeResultFile } from "../result-files.ts";
import { metadataOf } from "../../engine/metadata.ts";
import { ImageRunner } from "../watch-runner.ts";
import { CommandRunner } from "../watch-command.ts";
import { newsLines } from "../watch-news.ts";
import { printError } from "../print-error.ts";
import { buildOptions, declareBuildFlags } from "./build.ts";

interface WatchFlags {
  readonly exec?: string;
  readonly run?: boolean;
  readonly runFlags?: string;
}

const watchFlagsShape = object<WatchFlags>({ exec: optional(TEXT), run: optional(FLAG), runFlags: optional(TEXT) });

/** Declares `kiln watch`: builds again after every change of the sources. */
export function watchCommand(program: Command, cli: Cli): void {
  const watch = command(program, cli, "watch <context> [command...]", (context, args, options) =>
    run(context, args, optionsAs(buildFlagsShape, options), optionsAs(watchFlagsShape, options)),
  ).description("build again whenever a source changes");
  watch.option("--exec <command>", "a shell command after each good build, with KILN_IMAGE_ID and KILN_IMAGE");
  watch.option("--run", "run the image after each good build, in place of the earlier container");
  watch.option("--run-flags <flags>", "flags of kiln run for that container, in one text: '-p 8080:80 -v .:/src'");
  declareBuildFlags(watch);
  watch.addHelpText(
    "after",
    examples([
      ["kiln watch -t app .", "build now and after every save"],
      ["kiln watch --run .", "and run what came of it; the container before is ended"],
      ["kiln watch --run --run-flags '-p 8080:80' .", "with a port"],
      ["kiln watch --run . npm start", "another command than the image's own"],
      ["kiln watch --load=docker --exec 'docker compose up -d' -t app .", "into docker, and on with it"],
      ["kiln watch -o out --target docs .", "files into a directory"],
    ]),
  );
}

async function run(
  context: CommandContext,
  args: readonly string[],
  flags: BuildFlags,
  { exec, run: isRun, runFlags }: WatchFlags,
): Promise<number> {
  const [source = "", ...words] = args;
  if (words.length > 0 && isRun !== true) {
    throw new BuildError("cli/usage", `Cannot watch: one context is expected, and ${args.length} words were given`, {
      hint: `a command for the image needs --run; what is ${JSON.stringify(words[0])}?`,
    });
  }
  const options = buildOptions(context, source, flags);
  if (isRun === true && !(options.outputs ?? []).some((output) => output.kind === "image" && output.store)) {
    throw new BuildError("cli/usage", "Cannot run what is built: it is not kept in the store", { hint: "add --load" });
  }
  const files = [flags.iidfile, flags.metadataFile, flags.trace, flags.lock].filter((path) => path !== undefined);
  const own = {
    paths: files.filter((path) => path !== "").map((path) => resolve(context.host.workingDirectory, path)),
  };
  await using command_ = exec === undefined ? undefined : new CommandRunner(exec, context);
  await using container = isRun === true ? new ImageRunner(words, runFlags ?? "", context) : undefined;
  const display = new WatchDisplay(context, flags);
  return await watchBuild(
    {
      options,
      environment: context.environment,
      own,
      onBuild: (changes) => display.begin(changes === undefined),
      onNews: async (news) => {
        display.end(news);
        await writeFiles(context, flags, news);
        if (news.kind === "built" && news.isNew) {
          await container?.restart(news);
          await command_?.start(news);
        }
      },
      onWatching: (directories) =>
        context.warn(`kiln: watching ${source} (${directories} directories); Ctrl-C ends it`),
      onNotice: (message, hint) => context.warn(`kiln: ${message}${hint === undefined ? "" : `; ${hint}`}`),
    },
    context.signal,
  );
}

/** Shows the first build like any build, and of later ones what changed and why, unless --progress asks for all of it. */
class WatchDisplay {
  readonly #context: CommandContext;
  readonly #flags: BuildFlags;
  #open: ReturnType<typeof openProgress> | undefined;

  constructor(context: CommandContext, flags: BuildFlags) {
    this.#context = context;
    this.#flags = flags;
    // Checked before anything is built.
    progressMode(flags.progress, flags.quiet === true, context.host);
  }

  begin(isFirst: boolean): ProgressSink {
    const { host } = this.#context;
    const { progress, quiet } = this.#flags;
    if (!isFirst && progress === undefined) return noticesTo(this.#context);
    this.#open = openProgress(progressMode(progress, quiet === true, host), host);
    return this.#open.sink;
  }

  end(news: BuildNews): void {
    const { host } = this.#context;
    this.#open?.finish(news.kind === "built" ? "success" : "failure");
    this.#open = undefined;
    if (news.kind === "failed") printError(news.error, host);
    if (this.#flags.quiet !== true)
      for (const line of newsLines(news, this.#context.environment)) this.#context.warn(line);
    const id = news.kind === "built" ? (news.result.imageId ?? news.result.manifest?.digest) : undefined;
    // For a program that reads; a person has seen it in the line above.
    if (id !== undefined && host.stdout.isTTY !== true) this.#context.print(id);
  }
}

function noticesTo(context: CommandContext): ProgressSink {
  return (event) => {
    if (event.kind === "notice" && event.level === "warning") context.warn(`kiln: ${event.message}`);
  };
}

async function writeFiles(context: CommandContext, flags: BuildFlags, news: BuildNews): Promise<void> {
  if (news.kind !== "built") return;
  const id = news.result.imageId ?? news.result.manifest?.digest;
  if (flags.iidfile && id !== undefined) await writeResultFile(context, "--iidfile", flags.iidfile, id);
  if (flags.metadataFile) {
    const text = `${JSON.stringify(metadataOf(news.result, false), undefined, 2)}\n`;
    await writeResultFile(context, "--metadata-file", flags.metadataFile, text);
  }
}
