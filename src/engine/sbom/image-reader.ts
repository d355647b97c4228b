import { readSync } from "node:fs";
import { BuildError } from "../../../lib/core/errors.ts";
import { S_IFREG } from "../../../lib/native/constants.ts";
import type { TreeNode } from "../../../lib/tree/tree-node.ts";
import type { SourceView } from "../../../lib/tree/source-view.ts";

/** Bytes that can be read at any offset: a file of an image, or a file inside an archive. */
export interface ByteSource {
  readonly sizeBytes: number;
  /** Returns the bytes of a range; fewer where the source ends. */
  read(offset: number, length: number): Buffer;
}

/** A regular file found by a walk. */
export interface WalkedFile {
  /** Path from the root, without a slash in front. */
  readonly path: string;
  readonly node: TreeNode;
}

/** Reads files of an image. Links are followed inside the image only, and every read has a limit. */
export class ImageReader {
  readonly #view: SourceView;

  constructor(view: SourceView) {
    this.#view = view;
  }

  /**
   * Reads a whole file; `undefined` where there is none.
   * @throws {BuildError} `solver/copy-failed` when it is larger than `maxBytes`
   */
  read(path: string, maxBytes: number): Buffer | undefined {
    return this.#view.tree.readFile(path, maxBytes);
  }

  /** Reads the beginning of a file; `undefined` where there is none. */
  readHead(path: string, maxBytes: number): Buffer | undefined {
    return this.withFile(path, (file) => file.read(0, maxBytes));
  }

  /** Opens a file for the time of some work; `undefined` where there is none. */
  withFile<T>(path: string, work: (file: ByteSource) => T): T | undefined {
    using file = this.#view.tree.openFile(path);
    if (file === undefined) return undefined;
    const { fd, sizeBytes } = file;
    return work({ sizeBytes, read: (offset, length) => readRange(fd, offset, Math.min(length, sizeBytes - offset)) });
  }

  /** Lists the regular files of a directory; none where there is no such directory. */
  async list(path: string, signal: AbortSignal): Promise<readonly string[]> {
    const directory = this.#directoryAt(path);
    if (directory === undefined) return [];
    const { children } = await this.#view.list(directory, signal);
    return children.filter(({ type }) => type === S_IFREG).map(({ name }) => name);
  }

  /** Walks all regular files, in byte order of path. */
  async *walk(signal: AbortSignal): AsyncGenerator<WalkedFile> {
    const root = await this.#view.scan(this.#view.tree.root, signal);
    const waiting: WalkedFile[] = [{ path: "", node: root }];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const { path, node } = next;
      if (node.type === S_IFREG) yield next;
      for (let index = node.children.length - 1; index >= 0; index -= 1) {
        const child = node.children[index];
        if (child === undefined || !(child.isDirectory || child.type === S_IFREG)) continue;
        waiting.push({ path: path === "" ? child.name : `${path}/${child.name}`, node: child });
      }
    }
  }

  #directoryAt(path: string): ReturnType<SourceView["tree"]["directoryAt"]> {
    try {
      return this.#view.tree.directoryAt(path);
    } catch (error) {
      // A loop of links, or a file on the way: no such directory.
      if (error instanceof BuildError) return undefined;
      throw error;
    }
  }
}

/** Makes a source of bytes in memory. */
export function bytesSource(bytes: Buffer): ByteSource {
  return {
    sizeBytes: bytes.length,
    read: (offset, length) => bytes.subarray(Math.max(0, offset), Math.max(0, offset) + Math.max(0, length)),
  };
}

function readRange(fd: number, offset: number, length: number): Buffer {
  if (!(length > 0) || offset < 0) return Buffer.alloc(0);
  const into = Buffer.allocUnsafe(length);
  let done = 0;
  while (done < length) {
    const got = readSync(fd, into, done, length - done, offset + done);
    if (got === 0) break;
    done += got;
  }
  return into.subarray(0, done);
}
