import { closeSync, createReadStream, fstatSync, openSync, readFileSync } from "node:fs";
import type { Readable } from "node:stream";
import { BuildError, errnoOf, messageOf } from "../../../lib/core/errors.ts";
import { O_DIRECTORY, O_PATH, O_RDONLY, RESOLVE_IN_ROOT } from "../../../lib/native/constants.ts";
import type { Native } from "../../../lib/native/native.ts";

/**
 * Regular files of a layout's directory, by path. Nothing else is ever opened: an archive may hold a pipe that nobody writes
 * to, or a device.
 */
export class LayoutFiles implements Disposable {
  /** As shown in messages. */
  readonly directory: string;
  readonly #native: Native;
  readonly #fd: number;
  readonly #resolve: number;

  /**
   * @param links where symlinks may lead: an archive's not out of the archive, to files of ours that its image would then hold;
   * in somebody's own directory, anywhere.
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

  /** @throws {BuildError} `archive/malformed` when there is no such file, or it is larger than `maxBytes`. */
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

  /** Closed by itself at its end. @throws {BuildError} `archive/malformed` when there is no such file. */
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
