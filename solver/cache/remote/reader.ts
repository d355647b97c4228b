import type { KeyObject } from "node:crypto";
import type { Digest } from "../../../lib/core/digest.ts";
import { BuildError, hintOf, messageOf } from "../../../lib/core/errors.ts";
import type { ProgressSink } from "../../../lib/core/progress.ts";
import type { Store } from "../../../lib/store/store.ts";
import type { CacheEntry, CacheSource, EntryName } from "./backend.ts";
import type { RecordDocument } from "./record-document.ts";
import { isSignedBy } from "./signature.ts";

export interface RemoteDeps {
  readonly store: Pick<Store, "records" | "snapshots" | "facts" | "blobs">;
  readonly progress: ProgressSink;
  readonly clock: { nowMs(): number };
  /**
   * Keys that entries must be signed with; entries without such a signature are ignored. Absent: no signature is
   * needed.
   */
  readonly trusted: readonly KeyObject[] | undefined;
}

/** Larger listings are not worth the download. */
const MAX_LISTING_BYTES = 8 << 20;

/** The use of one cache, until it fails, with a line of the display that tells its hits. */
export class Reader {
  readonly source: CacheSource;
  readonly #deps: RemoteDeps;
  #exists: Promise<boolean> | undefined;
  #isOff = false;
  #hasWarned = false;
  #asked = 0;
  #found = 0;
  /** Blobs that were missing when a record that names them was taken. */
  readonly #absent = new Map<Digest, number>();

  constructor(source: CacheSource, deps: RemoteDeps) {
    this.source = source;
    this.#deps = deps;
  }

  async read(name: EntryName, signal: AbortSignal): Promise<CacheEntry | undefined> {
    if (this.#isOff) return undefined;
    try {
      if (this.#exists === undefined) this.#begin();
      this.#exists ??= this.source.exists(signal);
      if (!(await this.#exists)) {
        this.#sayEmpty();
        return undefined;
      }
      this.#asked += 1;
      const entry = await this.source.read(name, signal);
      if (entry === undefined || this.#deps.trusted === undefined) return entry;
      if (isSignedBy(name, entry, this.#deps.trusted)) return entry;
      this.warn(new BuildError("cache/import-failed", "an entry is not signed by a trusted key"));
      return undefined;
    } catch (error) {
      signal.throwIfAborted();
      // Otherwise it would fail, or be waited for, at each of the other steps as well.
      this.#isOff = true;
      this.warn(error);
      return undefined;
    }
  }

  /** Counts the use of a record of this cache. */
  takes({ layers }: RecordDocument): void {
    this.#found += 1;
    const { blobs } = this.#deps.store;
    for (const { blob } of layers) {
      if (blob !== undefined && !blobs.has(blob.digest)) this.#absent.set(blob.digest, blob.size);
    }
  }

  async fetchListing(blob: { readonly digest: Digest; readonly size: number }, signal: AbortSignal): Promise<void> {
    if (this.#isOff || blob.size > MAX_LISTING_BYTES) return;
    try {
      const bytes = await this.source.openBlob({ mediaType: LISTING_TYPE, ...blob }, signal);
      await this.#deps.store.blobs.write(bytes, { expected: blob }, signal);
    } catch (error) {
      signal.throwIfAborted();
      this.warn(error);
    }
  }

  finish(): void {
    if (this.#exists === undefined) return;
    const fetched = [...this.#absent].filter(([digest]) => this.#deps.store.blobs.has(digest));
    const bytes = fetched.reduce((sum, [, size]) => sum + size, 0);
    this.#status(`${this.#found} results found, ${this.#asked} asked for`, 0);
    if (fetched.length > 0) this.#status(`${fetched.length} layers fetched`, bytes);
    this.#deps.progress({ kind: "step-done", id: this.#line, atMs: this.#deps.clock.nowMs() });
  }

  /** Warns once: the next entries are likely to have the same fault. */
  warn(error: unknown): void {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    this.#deps.progress({
      kind: "notice",
      level: "warning",
      message: `Cannot use the cache ${JSON.stringify(this.source.location)}: ${messageOf(error)}`,
      hint: hintOf(error),
    });
  }

  #begin(): void {
    this.#deps.progress({ kind: "step-started", id: this.#line, name: this.#line, atMs: this.#deps.clock.nowMs() });
  }

  get #line(): string {
    return `importing cache from ${this.source.location}`;
  }

  #status(item: string, current: number): void {
    const atMs = this.#deps.clock.nowMs();
    this.#deps.progress({
      kind: "status",
      id: this.#line,
      item,
      current,
      total: current,
      unit: "bytes",
      done: true,
      atMs,
    });
  }

  #sayEmpty(): void {
    if (this.#isOff) return;
    this.#isOff = true;
    const message = `There is no cache at ${JSON.stringify(this.source.location)} yet`;
    this.#deps.progress({ kind: "notice", level: "info", message, hint: undefined });
  }
}

/** Media type of the blob that holds a compressed listing of files. */
export const LISTING_TYPE = "application/vnd.kiln.cache.listing.v1+zstd";
