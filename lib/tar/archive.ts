import { Readable } from "node:stream";
import { extract, pack } from "tar-stream";
import { BuildError, messageOf } from "../core/errors.ts";

/*
 * Outer archives: OCI layouts and docker-archives, whose members are plain files with short ASCII names. tar-stream serves
 * for these; whatever it does not keep (see read.ts and header-write.ts for what does) does not occur in them.
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

/** A member being read. Its body must be read, or skipped by going on to the next one. */
export interface ArchiveMember {
  readonly path: string;
  readonly type: "file" | "directory" | "symlink" | "link" | "other";
  readonly size: number;
  readonly linkName: string;
  readonly body: AsyncIterable<Buffer>;
}

/** The archive's bytes: owner 0:0, modes 0644 and 0755, the epoch's time, members in the order given. */
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
  // tar-stream's streams are streamx's; Node's own is what callers know.
  return Readable.from(archive as AsyncIterable<Buffer>, { objectMode: false });
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
    // tar-stream keeps the chunk until it is read, and the source may use its memory again.
    if (!sink.write(Buffer.from(piece)))
      await Promise.race([new Promise<void>((drained) => sink.once("drain", () => drained())), finished]);
  }
  sink.end(undefined);
  await finished;
}

/** The members, in order. @throws {BuildError} `archive/malformed`. */
export async function* readArchive(
  stream: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<ArchiveMember, void> {
  const reader = extract();
  const source = Readable.from(stream, { objectMode: false });
  const abort = (): void => reader.destroy(signal.reason instanceof Error ? signal.reason : new Error("Cancelled"));
  source.on("error", (error) => reader.destroy(error));
  source.pipe(reader);
  signal.addEventListener("abort", abort, { once: true });
  try {
    signal.throwIfAborted();
    for await (const entry of reader) {
      const { name, type, size, linkname } = entry.header;
      yield {
        path: name,
        type: memberType(type),
        size: size ?? 0,
        linkName: linkname ?? "",
        body: entry as AsyncIterable<Buffer>,
      };
      entry.resume();
    }
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof BuildError) throw error;
    throw new BuildError("archive/malformed", `Cannot read the archive: ${messageOf(error)}`, { cause: error });
  } finally {
    signal.removeEventListener("abort", abort);
    source.destroy();
    reader.destroy();
  }
}

function memberType(type: string | null | undefined): ArchiveMember["type"] {
  switch (type) {
    case "file":
    case "contiguous-file":
    case null:
    case undefined:
      return "file";
    case "directory":
    case "symlink":
    case "link":
      return type;
    default:
      return "other";
  }
}
