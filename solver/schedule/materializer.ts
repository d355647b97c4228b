import type { Digest } from "../../lib/core/digest.ts";
import { messageOf } from "../../lib/core/errors.ts";
import type { ProgressSink } from "../../lib/core/progress.ts";
import { systemFailure } from "../../lib/core/system-failure.ts";
import type { Store } from "../../lib/store/store.ts";
import type { Clock, ImageSource, Stack } from "../ports.ts";

export interface MaterializerDeps {
  readonly store: Pick<Store, "snapshots">;
  readonly images: ImageSource;
  readonly progress: ProgressSink;
  readonly clock: Clock;
}

interface KnownImage {
  readonly id: Digest;
  readonly name: string;
  readonly stack: Stack;
  state: "resting" | "fetching" | "done";
}

/** Fetches layers when a step needs their files, and shows that on the line of their image. */
export class Materializer {
  readonly #deps: MaterializerDeps;
  readonly #images: KnownImage[] = [];
  /** Layers known to be present, so that the steps of a chain ask once for each. */
  readonly #present = new Set<string>();

  constructor(deps: MaterializerDeps) {
    this.#deps = deps;
  }

  /** Adds an image of the graph. Its line says CACHED at once when there is nothing to fetch. */
  addImage(image: { readonly id: Digest; readonly name: string; readonly stack: Stack }): void {
    const isHere = this.#absent(image.stack).length === 0;
    if (isHere)
      this.#deps.progress({ kind: "step-cached", id: image.id, name: image.name, atMs: this.#deps.clock.nowMs() });
    this.#images.push({ ...image, state: isHere ? "done" : "resting" });
  }

  async materialize(stack: Stack, signal: AbortSignal): Promise<void> {
    const absent = this.#absent(stack);
    if (absent.length === 0) return;
    const { progress, clock } = this.#deps;
    const image = this.#images.find(
      (known) => known.state === "resting" && absent.some((id) => known.stack.includes(id)),
    );
    if (image !== undefined) {
      image.state = "fetching";
      progress({ kind: "step-started", id: image.id, name: image.name, atMs: clock.nowMs() });
    }
    try {
      await this.#deps.images.materialize(stack, image?.id, signal);
    } catch (error) {
      if (image !== undefined && signal.aborted)
        progress({ kind: "step-cancelled", id: image.id, atMs: clock.nowMs() });
      else if (image !== undefined) {
        const message = messageOf(error);
        progress({ kind: "step-failed", id: image.id, atMs: clock.nowMs(), message });
      }
      throw systemFailure(`fetch and unpack ${image?.name ?? "layers"}`, error);
    }
    for (const id of absent) this.#present.add(id);
    if (image !== undefined) {
      image.state = "done";
      progress({ kind: "step-done", id: image.id, atMs: clock.nowMs() });
    }
  }

  /** Ends the lines of images without needed files as cached too: nothing was fetched. */
  close(): void {
    for (const { id, name, state } of this.#images) {
      if (state === "resting") this.#deps.progress({ kind: "step-cached", id, name, atMs: this.#deps.clock.nowMs() });
    }
  }

  #absent(stack: Stack): Stack {
    const asked = stack.filter((id) => !this.#present.has(id));
    if (asked.length === 0) return [];
    const absent: Stack[number][] = [];
    const rows = new Map(this.#deps.store.snapshots.getMany(asked).map((row) => [row.id, row.state]));
    for (const id of asked) {
      if (rows.get(id) === "present") this.#present.add(id);
      else absent.push(id);
    }
    return absent;
  }
}
