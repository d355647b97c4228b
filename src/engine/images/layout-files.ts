import { closeSync, createReadStream, fstatSync, openSync, readFileSync } from "node:fs";
import type { Readable } from "node:stream";
import { BuildError, errnoOf, messageOf } from "../../../lib/core/errors.ts";
import { O_DIRECTORY, O_PATH, O_RDONLY, RESOLVE_IN_ROOT } from "../../../lib/native/constants.ts";
import type { Native } from "../../../lib/native/native.ts";

/**
 * Regular files of a layout's directory, by path. No other file is ever opened: an archive may hold a pipe without a
 * writer, or a device.
 */
export class LayoutFiles implements Disposable {
  /** Display name for messages. */
  readonly directory: string;
  readonly #native: Native;
  readonly #fd: number;
  readonly #resolve: number;

  /**
   * @param links limit of symlinks: an archive's must stay inside, or its image would contain files of ours; in a
   * user's own directory they may lead anywhere
   */
  constructor(native: Native, directory: string, links: "inside" | "anywhere") {
    this.directory = directory;
    this.#native = native;
    this.#fd = native.openPath(directory, O_RDONLY | O_DIRECTORY);
    this.#resolve = links === "inside" ? RESOLVE_IN_ROOT : 0;
  }

  has(path: string): boolean {
    const fd = this.#tryOpen(path);
    if (fd !== undefined) closeSync(fd);
    return fd !== undefined;
  }

  /**
   * Reads a file.
   * @throws {BuildError} `archive/malformed` when there is none, or it is larger than `maxBytes`
   */
  read(path: string, maxBytes: number): Buffer {
    const fd = this.#open(path);
    try {
      const { size } = fstatSync(fd);
      if (size > maxBytes) throw malformed(path, `it has ${size} bytes, more than ${maxBytes}`);
      return readFileSync(fd);
    } finally {
      closeSync(fd);
    }
  }

  /**
   * Opens a file; the stream closes it at its end.
   * @throws {BuildError} `archive/malformed` when there is none
   */
  open(path: string): Readable {
    return createReadStream(path, { fd: this.#open(path) });
  }

  [Symbol.dispose](): void {
    this.#native.close(this.#fd);
  }

  #open(path: string): number {
    const fd = this.#tryOpen(path);
    if (fd === undefined) throw malformed(path, "it is missing");
    return fd;
  }

  #tryOpen(path: string): number | undefined {
    let named: number;
    try {
      named = this.#native.openat2(this.#fd, path, { flags: O_PATH, resolve: this.#resolve });
    } catch (error) {
      if (["ENOENT", "ENOTDIR", "ELOOP"].includes(errnoOf(error) ?? "")) return undefined;
      throw malformed(path, messageOf(error), error);
    }
    try {
      if (!fstatSync(named).isFile()) throw malformed(path, "it is no file");
      return openSync(`/proc/self/fd/${named}`, "r");
    } finally {
      closeSync(named);
    }
  }
}

function malformed(path: string, why: string, cause?: unknown): BuildError {
  return new BuildError("archive/malformed", `Cannot read ${JSON.stringify(path)} of the archive: ${why}`, { cause });
}
