import { Command } from "commander";
import { BuildError, messageOf } from "../../lib/core/errors.ts";
import { runImage } from "../engine/run-image.ts";
import type { BuildNews } from "../watch/watch.ts";
import { optionsAs } from "./command.ts";
import type { CommandContext } from "./context.ts";
import { printError } from "./print-error.ts";
import { declareRunFlags, type RunFlags, runFlagsShape } from "./run/flags.ts";
import { describePorts, runOptions } from "./run/options.ts";
import { chosenPorts } from "./run/ports.ts";

/** The container of `--run`: of the newest good build, and only that one. */
export class ImageRunner implements AsyncDisposable {
  readonly #words: readonly string[];
  readonly #context: CommandContext;
  readonly #given: Omit<ReturnType<typeof runOptions>, "warnings">;
  #current: { readonly stop: AbortController; readonly ended: Promise<void> } | undefined;

  /**
   * @param flags those of `kiln run`, in one text
   * @throws {BuildError} `cli/usage`
   */
  constructor(words: readonly string[], flags: string, context: CommandContext) {
    this.#words = words;
    this.#context = context;
    const { warnings, ...given } = runOptions(flagsOf(flags), context);
    for (const warning of warnings) context.warn(`WARNING: ${warning}`);
    this.#given = given;
  }

  async restart(news: BuildNews & { readonly kind: "built" }): Promise<void> {
    await this.#end();
    const { imageId } = news.result;
    if (imageId === undefined) {
      this.#context.warn("kiln: nothing is run: the build is for several platforms");
      return;
    }
    const stop = new AbortController();
    // An engine of its own: the container may run longer than the build's.
    this.#current = { stop, ended: this.#run(imageId, stop.signal) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
  }

  async #end(): Promise<void> {
    const current = this.#current;
    this.#current = undefined;
    current?.stop.abort(new BuildError("build/cancelled", "Ended for the next build"));
    await current?.ended;
  }

  async #run(imageId: string, signal: AbortSignal): Promise<void> {
    const { host } = this.#context;
    try {
      await using engine = this.#context.openEngine();
      const found = engine.store.images.find(imageId);
      if (found.kind !== "image") return;
      const ports = await chosenPorts(this.#given.ports);
      for (const line of describePorts(this.#given.ports, ports)) this.#context.warn(line);
      const options = { ...this.#given, ports, image: found.image, command: this.#words };
      const { exitCode } = await runImage(engine, options, signal);
      if (!signal.aborted)
        this.#context.warn(`kiln: the container ended with status ${exitCode}; waiting for a change`);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof BuildError) printError(error, host);
      else this.#context.warn(`kiln: the container could not be run: ${messageOf(error)}`);
    }
  }
}

/** Reads flags as a shell would split them; quotes keep spaces. */
function flagsOf(text: string): RunFlags & Record<string, unknown> {
  const words = [...text.matchAll(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g)].map(([word]) => word.replaceAll(/["']/g, ""));
  const command = new Command("kiln run").exitOverride().configureOutput({ writeErr: () => undefined });
  declareRunFlags(command);
  command.parse(words, { from: "user" });
  return optionsAs(runFlagsShape, command.opts());
}
