import { Readable } from "node:stream";
import { pack } from "tar-stream";
import { messageOf } from "../core/errors.ts";

/*
 * Outer archives: OCI layouts and docker-archives. Their members are plain files with short ASCII names, so
 * tar-stream serves; features that it does not keep (read.ts and the addon do) do not occur in them.
 */

/** A member to write. `size` is that of the content, which must be exactly as long. */
export type ArchiveEntry =
  | {
      readonly kind: "file";
      readonly path: string;
      readonly size: number;
      readonly content: Uint8Array | AsyncIterable<Uint8Array>;
    }
  | { readonly kind: "directory"; readonly path: string }
  | { readonly kind: "symlink"; readonly path: string; readonly target: string };

/** Makes the archive's bytes: owner 0:0, modes 0644 and 0755, the epoch's time, members in the order given. */
export function writeArchive(
  entries: Iterable<ArchiveEntry> | AsyncIterable<ArchiveEntry>,
  options: { readonly mtimeSeconds?: number },
  signal: AbortSignal,
): Readable {
  const archive = pack();
  const mtime = new Date((options.mtimeSeconds ?? 0) * 1000);
  const write = async (): Promise<void> => {
    for await (const entry of entries) {
      signal.throwIfAborted();
      await add(archive, entry, mtime, signal);
    }
    archive.finalize();
  };
  write().catch((error: unknown) => archive.destroy(error instanceof Error ? error : new Error(messageOf(error))));
  // tar-stream's streams are streamx's; callers know Node's own.
  return Readable.from(archive, { objectMode: false });
}

async function add(
  archive: ReturnType<typeof pack>,
  entry: ArchiveEntry,
  mtime: Date,
  signal: AbortSignal,
): Promise<void> {
  const owner = { uid: 0, gid: 0, uname: "", gname: "", mtime };
  if (entry.kind === "directory") {
    archive.entry({ ...owner, name: entry.path, type: "directory", mode: 0o755 });
    return;
  }
  if (entry.kind === "symlink") {
    archive.entry({ ...owner, name: entry.path, type: "symlink", linkname: entry.target, mode: 0o777 });
    return;
  }
  const { promise: finished, resolve, reject } = Promise.withResolvers<void>();
  const sink = archive.entry({ ...owner, name: entry.path, size: entry.size, mode: 0o644 }, (error) =>
    error === null || error === undefined ? resolve() : reject(error),
  );
  finished.catch(() => undefined);
  // Without a listener the sink's own error event would end the process.
  sink.on("error", reject);
  const pieces = entry.content instanceof Uint8Array ? [entry.content] : entry.content;
  for await (const piece of pieces) {
    signal.throwIfAborted();
    // tar-stream keeps the chunk until it is read, and the source may reuse its memory.
    if (!sink.write(Buffer.from(piece)))
      await Promise.race([new Promise<void>((drained) => sink.once("drain", () => drained())), finished]);
  }
  sink.end(undefined);
  await finished;
}
