import { mkdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";

/**
 * Temporary directories of one build, below one root of its own that is made when first needed and removed at the end.
 * It lies inside the store, so that files can be renamed into snapshots.
 */
export class Scratch implements AsyncDisposable {
  readonly root: string;
  #count = 0;

  constructor(root: string) {
    this.root = root;
  }

  /** A new, empty directory. */
  directory(): string {
    this.#count += 1;
    const path = join(this.root, String(this.#count));
    mkdirSync(path, { recursive: true, mode: 0o700 });
    return path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#count > 0) await rm(this.root, { recursive: true, force: true });
  }
}
