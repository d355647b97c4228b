import { BuildError } from "../../../lib/core/errors.ts";
import type { Platform } from "../../../lib/core/platform.ts";
import { familiarReference, parseReference } from "../../../lib/core/reference.ts";
import type { ProgressSink } from "../../../lib/core/progress.ts";
import type { ImageSource, ResolvedImage } from "../../../solver/ports.ts";

/**
 * Lifetime of an answer. Base images move some times a month; docker asks each time, which costs each build a round
 * trip.
 */
export const PULL_TTL_MS = 10 * 60_000;
/** Limit of a build's wait for a registry's answer about a moved image. */
const ANSWER_MS = 2_000;
/** Interval before a silent registry is asked, waited for and reported again. */
const RETRY_MS = 60_000;

export interface MovedBasesDeps {
  readonly images: ImageSource;
  readonly progress: ProgressSink;
  readonly clock: { nowMs(): number };
  /** `no`: the store's image is used however old it is. */
  readonly asks: "no" | { readonly ttlMs: number };
}

/** A base image that has changed since the build began with it. */
export interface MovedBase {
  readonly ref: string;
  readonly platform: Platform;
  readonly image: ResolvedImage;
}

/**
 * Requests to registries about moved base images, while the build goes on with those of the store. Nothing waits for
 * the answers before the plan is known; then all are awaited (`settle`), before any step runs.
 */
export class MovedBases implements AsyncDisposable {
  readonly #deps: MovedBasesDeps;
  readonly #signal: AbortSignal;
  readonly #stop = new AbortController();
  readonly #questions = new Map<string, Promise<MovedBase | undefined>>();

  constructor(deps: MovedBasesDeps, signal: AbortSignal) {
    this.#deps = deps;
    this.#signal = AbortSignal.any([signal, this.#stop.signal]);
  }

  /** Begins to ask about an image when its last answer is too old. */
  consider(ref: string, platform: Platform, image: ResolvedImage): void {
    const { asks, clock } = this.#deps;
    const { pulled } = image;
    if (pulled === undefined || asks === "no") return;
    const now = clock.nowMs();
    const isFresh = isWithin(asks.ttlMs, pulled.answeredAtMs, now);
    const wasAskedInVain = pulled.triedAtMs !== pulled.answeredAtMs;
    if (isFresh || (wasAskedInVain && isWithin(Math.min(RETRY_MS, asks.ttlMs), pulled.triedAtMs, now))) return;
    const key = JSON.stringify([ref, platform]);
    if (this.#questions.has(key)) return;
    const question = this.#ask(ref, platform, pulled.answeredAtMs);
    // Reported where the answers are awaited; a build that fails earlier does not get there.
    question.catch(() => undefined);
    this.#questions.set(key, question);
  }

  /**
   * Waits for all answers.
   * @returns those that change something, each once
   */
  async settle(): Promise<readonly MovedBase[]> {
    const answers = await Promise.all(this.#questions.values());
    this.#questions.clear();
    return answers.filter((answer) => answer !== undefined);
  }

  /** Cancels the remaining requests. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error("The build has ended"));
    await Promise.allSettled(this.#questions.values());
  }

  async #ask(ref: string, platform: Platform, answeredAtMs: number): Promise<MovedBase | undefined> {
    const { images, progress, clock } = this.#deps;
    try {
      const image = await images.ask(ref, { platform, answerMs: ANSWER_MS }, this.#signal);
      return image === undefined ? undefined : { ref, platform, image };
    } catch (error) {
      // The signal itself informs the waiting caller.
      if (this.#signal.aborted) return undefined;
      if (!(error instanceof BuildError)) throw error;
      const minutes = Math.round((clock.nowMs() - answeredAtMs) / 60_000);
      progress({
        kind: "notice",
        level: "warning",
        message: `The image of ${familiarReference(parseReference(ref))} that was pulled ${minutes} minutes ago is used: ${error.message}`,
        hint: "--offline asks no registry",
      });
      return undefined;
    }
  }
}

/** Tells whether a moment is recent. A clock that was set back proves nothing. */
function isWithin(ms: number, momentMs: number, nowMs: number): boolean {
  return nowMs >= momentMs && nowMs - momentMs < ms;
}

/** A signal that a build must begin again with moved images. */
export class BasesMoved extends Error {
  readonly bases: readonly MovedBase[];

  constructor(bases: readonly MovedBase[]) {
    super("base images have moved");
    this.bases = bases;
  }
}
