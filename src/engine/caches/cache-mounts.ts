import { chmod, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { promisify } from "node:util";
import { digestOf } from "../../../lib/core/digest.ts";
import { BuildError, hintOf, messageOf } from "../../../lib/core/errors.ts";
import type { ProgressSink } from "../../../lib/core/progress.ts";
import { AT_FDCWD } from "../../../lib/native/constants.ts";
import type { CacheMountEntry, CacheMounts, ClaimedCacheMount } from "../../../lib/store/store.ts";
import { packLayer } from "../../../lib/tar/pack.ts";
import { unpackLayer } from "../../../lib/tar/unpack.ts";
import type { CacheEntry, CacheSink, CacheSource, EntryName } from "../../../solver/cache/remote/backend.ts";
import { chunksOf } from "../../../solver/cache/remote/chunks.ts";
import {
  CHUNK_TYPE,
  decodeMount,
  encodeMount,
  type MountChunk,
  type MountDocument,
  mountEntryName,
} from "../../../solver/cache/remote/mount-document.ts";
import type { RemoteResults } from "../../../solver/cache/remote/remote-results.ts";
import type { Engine } from "../engine.ts";

type MountParts = Pick<Engine, "store" | "native" | "snapshotter">;

/** Limit of concurrent chunks: each is held in memory, 16 MiB at most. */
const CHUNKS_AT_ONCE = 4;

/**
 * The store's cache mounts, filled from other machines': a directory that is new here is filled from a remote cache
 * before its first user sees it. It records used mounts, because only those are exported.
 */
export class TravellingMounts implements CacheMounts {
  /** Ids in order of use. */
  readonly used = new Set<string>();
  readonly #engine: MountParts;
  readonly #remote: RemoteResults | undefined;
  readonly #progress: ProgressSink;

  constructor(engine: MountParts, remote: RemoteResults | undefined, progress: ProgressSink) {
    this.#engine = engine;
    this.#remote = remote;
    this.#progress = progress;
  }

  async claim(id: string, sharing: "shared" | "private" | "locked", signal: AbortSignal): Promise<ClaimedCacheMount> {
    const claim = await this.#engine.store.cacheMounts.claim(id, sharing, signal);
    this.used.add(id);
    if (!claim.isNew || this.#remote === undefined) return claim;
    try {
      const { directory, place } = claim;
      // A further directory that no cache has starts with the first one's content.
      const names = place === 0 ? [id] : [travelName(id, place), id];
      let isRestored = false;
      for (const name of names) isRestored ||= await this.#restore(name, directory, this.#remote, signal);
      if (!isRestored) return claim;
      claim.seeded();
      return {
        directory,
        place,
        isNew: false,
        seeded: () => {},
        [Symbol.dispose]: () => claim[Symbol.dispose](),
      };
    } catch (error) {
      claim[Symbol.dispose]();
      throw error;
    }
  }

  claimPlace(id: string, place: number, signal: AbortSignal): Promise<ClaimedCacheMount> {
    return this.#engine.store.cacheMounts.claimPlace(id, place, signal);
  }

  list(): ReturnType<CacheMounts["list"]> {
    return this.#engine.store.cacheMounts.list();
  }

  /** Restores a directory; false, and the directory empty, when no cache has it. */
  async #restore(id: string, directory: string, remote: RemoteResults, signal: AbortSignal): Promise<boolean> {
    const entry = await remote.readEntry(mountEntryName(id), signal);
    if (entry === undefined) return false;
    try {
      const document = decodeMount(entry.text);
      if (document.id !== id) throw new BuildError("cache/import-failed", "the entry is of another cache mount");
      const { native, snapshotter } = this.#engine;
      const tar = bytesOf(document, entry.source, signal);
      await unpackLayer(tar, { native, directory, marks: snapshotter.marks }, signal);
      native.fchownat(AT_FDCWD, directory, document.root.uid, document.root.gid);
      await chmod(directory, document.root.mode);
      return true;
    } catch (error) {
      signal.throwIfAborted();
      for (const name of await readdir(directory)) await rm(join(directory, name), { recursive: true, force: true });
      const message = `Cannot restore cache mount ${JSON.stringify(id)}, which starts empty: ${messageOf(error)}`;
      this.#progress({ kind: "notice", level: "warning", message, hint: hintOf(error) });
      return false;
    }
  }
}

/** Returns a cache mount's name in a cache: its id, and for further directories the place. No id holds a NUL. */
export function travelName(id: string, place: number): string {
  return place === 0 ? id : `${id}\0${place}`;
}

/** Reads the tar of a mount: chunks are fetched ahead, and checked. */
async function* bytesOf(
  document: MountDocument,
  source: CacheSource,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void> {
  const waiting: Promise<Buffer>[] = [];
  const chunks = document.chunks.values();
  for (;;) {
    while (waiting.length < CHUNKS_AT_ONCE) {
      const { value } = chunks.next();
      if (value === undefined) break;
      const fetching = fetchChunk(value, source, signal);
      // Reported in its turn; after an earlier failure nothing awaits it.
      fetching.catch(() => {});
      waiting.push(fetching);
    }
    const next = waiting.shift();
    if (next === undefined) return;
    yield await next;
  }
}

async function fetchChunk(chunk: MountChunk, source: CacheSource, signal: AbortSignal): Promise<Buffer> {
  const zlib = process.getBuiltinModule("node:zlib");
  const packed = await buffer(await source.openBlob(chunk.blob, signal));
  // Limited, so that a foreign chunk cannot fill the memory.
  const bytes = await promisify(zlib.zstdDecompress)(packed, { maxOutputLength: Math.max(1, chunk.size) });
  if (digestOf(bytes) === chunk.digest) return bytes;
  throw new BuildError("digest/mismatch", `Cannot use piece "${chunk.digest}" of a cache mount: its bytes are others`);
}

/**
 * Writes the contents of one directory of a cache mount. Chunks that `before` lists are neither compressed nor sent
 * again, unless the cache may have lost them.
 * @param before the present entry, if it is trusted
 */
export async function exportMount(
  mount: Pick<CacheMountEntry, "id" | "place">,
  target: {
    readonly sink: CacheSink;
    readonly before: MountDocument | undefined;
    readonly sign: (name: EntryName, text: string) => CacheEntry;
  },
  engine: MountParts,
  signal: AbortSignal,
): Promise<void> {
  // Exclusive: a concurrent writer would make an inconsistent tar.
  using claim = await engine.store.cacheMounts.claimPlace(mount.id, mount.place, signal);
  if (claim.isNew) return;
  const known = new Map(target.before?.chunks.map((chunk) => [chunk.digest, chunk]));
  const marks = engine.snapshotter.marks;
  const tar = packLayer(engine.native, { directory: claim.directory, marks, xattrs: "user" }, signal);
  const chunks: Promise<MountChunk>[] = [];
  for await (const bytes of chunksOf(tar)) {
    const sent = sendChunk(bytes, known.get(digestOf(bytes)), target.sink, signal);
    sent.catch(() => {}); // reported below
    chunks.push(sent);
    await chunks.at(-CHUNKS_AT_ONCE);
  }
  const { mode, uid, gid } = await stat(claim.directory);
  const id = travelName(mount.id, mount.place);
  const document = { id, root: { mode: mode & 0o7777, uid, gid }, chunks: await Promise.all(chunks) };
  const text = encodeMount(document);
  if (target.before !== undefined && text === encodeMount(target.before)) return;
  const name = mountEntryName(id);
  const blobs = new Map(document.chunks.map(({ blob }) => [blob.digest, blob]));
  await target.sink.putEntry(name, target.sign(name, text), [...blobs.values()], signal);
}

async function sendChunk(
  bytes: Buffer,
  known: MountChunk | undefined,
  sink: CacheSink,
  signal: AbortSignal,
): Promise<MountChunk> {
  if (known !== undefined && (sink.keepsNamedBlobs || (await sink.hasBlob(known.blob.digest, signal)))) return known;
  const zlib = process.getBuiltinModule("node:zlib");
  const packed = await promisify(zlib.zstdCompress)(bytes);
  const blob = { mediaType: CHUNK_TYPE, digest: digestOf(packed), size: packed.length };
  if (!(await sink.hasBlob(blob.digest, signal))) {
    await sink.putBlob(blob, { open: () => Readable.from([packed]) }, signal);
  }
  return { digest: digestOf(bytes), size: bytes.length, blob };
}
