import { existsSync, mkdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";

/**
 * Temporary directories of one build, below a root of its own that is made on demand and removed at the end. It lies
 * inside the store, so that files can be renamed into snapshots.
 */
export class Scratch implements AsyncDisposable {
  readonly root: string;
  readonly #owned = new AsyncDisposableStack();
  #count = 0;

  constructor(root: string) {
    this.root = root;
  }

  /** Makes a new, empty directory. */
  directory(): string {
    this.#count += 1;
    const path = join(this.root, String(this.#count));
    mkdirSync(path, { recursive: true, mode: 0o700 });
    return path;
  }

  /** Closes something together with the directories. */
  use(resource: AsyncDisposable): void {
    this.#owned.use(resource);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
    // Nearly no build needs one, and `rm` loads a module.
    if (existsSync(this.root)) await rm(this.root, { recursive: true, force: true });
  }
}
