import { createHash } from "node:crypto";
import { read } from "node:fs";
import { promisify } from "node:util";
import {
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
} from "../../../lib/native/constants.ts";
import { SystemError } from "../../../lib/native/errno.ts";
import type { Native } from "../../../lib/native/native.ts";
import type { SourceView } from "../../../lib/tree/source-view.ts";
import type { TreeNode } from "../../../lib/tree/tree-node.ts";
import { copyFailed } from "./file-batch.ts";

const BLOCK_BYTES = 1 << 18;
const readAsync = promisify(read);

/**
 * A file that is read once from its start, with the digest of exactly the bytes that were read. Disposing closes it.
 */
export class ArchiveFile implements Disposable {
  readonly #native: Native;
  readonly #fd: number;
  readonly #digest = createHash("sha256");
  #position = 0;
  /** The last read: a reader that stops early may leave one running. */
  #turn: Promise<unknown> = Promise.resolve();

  /** @throws {MovedSourceError} when the file no longer exists */
  constructor(view: SourceView, node: TreeNode) {
    const { tree } = view;
    const flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;
    this.#native = tree.native;
    try {
      const resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
      this.#fd = tree.native.openat2(tree.layerFd(node.layer.layer), node.layerPath, { flags, resolve });
    } catch (error) {
      throw error instanceof SystemError ? copyFailed(node.name, node.layerPath, error) : error;
    }
  }

  async *bytes(signal: AbortSignal): AsyncGenerator<Uint8Array, void> {
    for (;;) {
      signal.throwIfAborted();
      const piece = await this.#next();
      if (piece.length === 0) return;
      yield piece;
    }
  }

  /** Reads the rest, and returns digest and size of the whole file. */
  async finish(signal: AbortSignal): Promise<{ readonly digest: Buffer; readonly sizeBytes: number }> {
    for await (const _rest of this.bytes(signal));
    return { digest: this.#digest.digest(), sizeBytes: this.#position };
  }

  [Symbol.dispose](): void {
    const close = (): void => this.#native.close(this.#fd);
    this.#turn.then(close, close);
  }

  async #next(): Promise<Buffer> {
    const turn = this.#turn.then(() => this.#read());
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async #read(): Promise<Buffer> {
    const block = Buffer.allocUnsafe(BLOCK_BYTES);
    const { bytesRead } = await readAsync(this.#fd, block, 0, block.length, this.#position);
    const piece = block.subarray(0, bytesRead);
    this.#digest.update(piece);
    this.#position += bytesRead;
    return piece;
  }
}
