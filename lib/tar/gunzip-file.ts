import { O_RDONLY } from "../native/constants.ts";
import { GUNZIP_BLOCK_BYTES, type Gunzipped, type Native } from "../native/native.ts";
import { digestFromHex } from "../core/digest.ts";
import { malformed } from "./header-read.ts";
import type { LayerTar } from "./pack.ts";
import { type PipeWork, throughPipe } from "./tar-pipe.ts";

/** A tar whose digest and size another thread computes: they are there once it has been read to its end. */
export interface SummedTar extends AsyncIterable<Uint8Array> {
  readonly sums: () => LayerTar | undefined;
}

/**
 * Decompresses a file (gzip) on a thread of the addon, which digests the content too. Each chunk is valid until the next one is
 * requested.
 * @param onRead receives how many bytes of the file have been read, to within a block
 * @throws {BuildError} (from the stream) `archive/malformed` for damage, truncation and bytes that follow
 */
export function gunzipFile(
  native: Native,
  path: string,
  signal: AbortSignal,
  onRead?: (sizeBytes: number) => void,
): SummedTar {
  let sums: LayerTar | undefined;
  async function* content(): AsyncGenerator<Buffer, void> {
    signal.throwIfAborted();
    const inputFd = native.openPath(path, O_RDONLY);
    try {
      const blocks = new Int32Array(1);
      const gunzip: PipeWork<Gunzipped> = (fd, cancelled) => native.gunzip(inputFd, fd, cancelled, blocks);
      const report = (): void => onRead?.(Atomics.load(blocks, 0) * GUNZIP_BLOCK_BYTES);
      const done = yield* throughPipe(native, gunzip, signal, report);
      if (done.outcome === "damaged") throw malformed("its compression (gzip) is damaged, or other bytes follow it");
      if (done.outcome === "cut") throw malformed("its compression (gzip) ends early");
      sums = { diffId: digestFromHex(done.sha256.toString("hex")), sizeBytes: done.sizeBytes };
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    } finally {
      native.close(inputFd);
    }
  }
  return { sums: () => sums, [Symbol.asyncIterator]: content };
}
