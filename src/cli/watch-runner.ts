import { BuildError, messageOf } from "../../lib/core/errors.ts";
import { runImage } from "../engine/run-image.ts";
import type { BuildNews } from "../watch/watch.ts";
import type { CommandContext } from "./context.ts";
import { printError } from "./print-error.ts";

/** The container of `--run`: of the newest good build, and only that one. */
export class ImageRunner implements AsyncDisposable {
  readonly #words: readonly string[];
  readonly #context: CommandContext;
  #current: { readonly stop: AbortController; readonly ended: Promise<void> } | undefined;

  constructor(words: readonly string[], context: CommandContext) {
    this.#words = words;
    this.#context = context;
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
      const options = {
        image: found.image,
        command: this.#words,
        entrypoint: undefined,
        env: [],
        workingDirectory: undefined,
        user: undefined,
        network: "default",
        hostname: undefined,
        terminal: host.stdin.isTTY === true && host.stdout.isTTY === true,
        mounts: [],
      } as const;
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
