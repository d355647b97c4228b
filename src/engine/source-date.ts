import { createReadStream, readdirSync } from "node:fs";
import { join } from "node:path";
import { BuildError } from "../../lib/core/errors.ts";
import { O_DIRECTORY, O_RDONLY, S_IFMT, S_IFREG } from "../../lib/native/constants.ts";
import type { Native } from "../../lib/native/native.ts";
import { floorSeconds } from "../../lib/tar/entry.ts";
import { decompress, sniffCompression } from "../../lib/tar/compression.ts";
import { TarReader } from "../../lib/tar/read.ts";
import type { ContextSource } from "../../frontend/convert/resolver.ts";
import type { GitOp, HttpOp } from "../../solver/graph/op.ts";
import type { RemoteSource } from "../../solver/ports.ts";

/** Dependencies for finding out a source's date. */
export interface SourceDateDeps {
  readonly git: RemoteSource<GitOp>;
  readonly http: RemoteSource<HttpOp>;
  /** A new directory that is removed when the build ends. */
  scratchDirectory(): string;
  /** Returns the date of the build context, if its source has dates. */
  contextDate(signal: AbortSignal): Promise<number | undefined>;
}

/**
 * Finds when a source was last changed, in seconds since 1970, for a SOURCE_DATE_EPOCH that names one: a commit's time, the
 * Last-Modified of a URL or the newest file of the archive there. Directories of this machine and images have no date.
 */
export async function sourceDate(
  source: ContextSource,
  deps: SourceDateDeps,
  signal: AbortSignal,
): Promise<number | undefined> {
  switch (source.kind) {
    case "git":
      return (await deps.git.find(source, signal)).date(signal);
    case "http": {
      const found = await deps.http.find(source, signal);
      const date = await found.date(signal);
      if (date !== undefined) return date;
      const directory = deps.scratchDirectory();
      await found.writeTo(directory, signal);
      const [name = ""] = readdirSync(directory);
      return newestMember(createReadStream(join(directory, name)), signal);
    }
    case "local":
      return source.name === "context" ? deps.contextDate(signal) : undefined;
    case "image":
    case "scratch":
      return undefined;
    default:
      return source satisfies never;
  }
}

/** Finds the latest time of a regular file in a directory; `undefined` where there is none. */
export async function newestFile(directory: string, native: Native): Promise<number | undefined> {
  const fd = native.openPath(directory, O_RDONLY | O_DIRECTORY);
  try {
    const { columns } = await native.scanTree(fd);
    const times = columns.mtimeNs.filter((_, row) => ((columns.mode[row] ?? 0) & S_IFMT) === S_IFREG);
    return times.length === 0 ? undefined : floorSeconds(times.toSorted().at(-1) ?? 0n);
  } finally {
    native.close(fd);
  }
}

/** Finds the latest time of a regular file in an archive; `undefined` when there is none, or it is no archive. */
async function newestMember(bytes: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<number | undefined> {
  let newest: number | undefined;
  try {
    const reader = new TarReader();
    const { kind, stream } = await sniffCompression(bytes, signal);
    for await (const chunk of decompress(stream, kind, signal)) {
      for (const event of reader.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength))) {
        if (event.kind !== "entry" || event.entry.type !== "file") continue;
        const seconds = floorSeconds(event.entry.mtimeNs);
        newest = newest === undefined ? seconds : Math.max(newest, seconds);
      }
    }
    reader.finish();
    return newest;
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof BuildError && error.code.startsWith("archive/")) return undefined;
    throw error;
  }
}
