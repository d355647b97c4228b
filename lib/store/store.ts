import type { Readable } from "node:stream";
import type { Digest } from "../core/digest.ts";
import type { GrowingBlob } from "./growing-blob.ts";
import type { Descriptor, Index } from "../core/oci.ts";
import type { CacheRecord, LayerBlob, RefRow, SnapshotId, SnapshotRow, StoredImage } from "./model.ts";

/*
 * The interface of the store. Everything that answers from the database is synchronous, because SQLite is;
 * everything that moves files is not. All of it is safe beside other processes on the same root.
 *
 * An open store is also a registration: everything it returned (records, snapshots, images, blobs) and everything
 * made since it was opened stays until it is closed, even while another process collects garbage.
 */
export interface Store extends AsyncDisposable {
  /** Absolute path. */
  readonly root: string;
  readonly layout: StoreLayout;
  readonly blobs: Blobs;
  readonly refs: Refs;
  readonly pulled: Pulled;
  readonly images: Images;
  readonly snapshots: Snapshots;
  readonly records: Records;
  readonly facts: Facts;
  readonly builds: Builds;
  readonly leases: Leases;
  readonly cacheMounts: CacheMounts;
  readonly logs: Logs;
  /**
   * Writes the uses that `touch` collected, in one transaction, and nothing when no use is older than
   * `TOUCH_INTERVAL_MS`. Best effort: a database busy with another writer is left alone. Disposal calls it too.
   */
  flush(): void;
}

/** Directories below the root, all of mode 0700. */
export interface StoreLayout {
  readonly root: string;
  readonly blobs: string;
  readonly snapshots: string;
  readonly cacheMounts: string;
  readonly logs: string;
  readonly leases: string;
  /** One file per open store, with the items it holds. */
  readonly running: string;
  readonly database: string;
}

/** Bytes by their digest: files `blobs/sha256/<hex>`. They have no row; a blob that no row names is garbage. */
export interface Blobs {
  has(digest: Digest): boolean;
  /** Returns the size in bytes; `undefined` when there is no such blob. */
  sizeOf(digest: Digest): number | undefined;
  /** Returns the absolute path of the blob's file, for a worker thread. The file need not exist. */
  pathOf(digest: Digest): string;
  /**
   * Opens the blob, unchecked: a caller that needs to be sure digests it. The caller reads to the end or destroys.
   * @throws {BuildError} `store/corrupt` when there is no such blob
   */
  open(digest: Digest, from?: { readonly offsetBytes: number }): Readable;
  /**
   * Reads a small document and checks its digest.
   * @returns `undefined` when there is no such blob
   * @throws {BuildError} `store/corrupt` when it is larger than `maxBytes` or does not have its digest
   */
  readBytes(digest: Digest, maxBytes: number): Buffer | undefined;
  /** Stores a small document. Returns its digest and size; storing an existing one costs one look. */
  put(bytes: Uint8Array | string): WrittenBlob;
  /**
   * Stores a stream: into a temporary file, digested while writing, checked, renamed. The stream may reuse a chunk for
   * the next one.
   * @param known.onStart is given the blob before its first byte is written, for readers of its growing file
   * @throws {BuildError} `digest/mismatch` when `expected` is given and differs; `store/full`
   */
  write(
    stream: AsyncIterable<Uint8Array>,
    known: { readonly expected?: ExpectedBlob; readonly onStart?: (blob: GrowingBlob) => void },
    signal: AbortSignal,
  ): Promise<WrittenBlob>;
  /**
   * Does the same as `write` for a caller that writes into a file and digests on the way; its result is trusted.
   * @param write is given the descriptor of an empty file
   */
  fill<T extends WrittenBlob>(write: (fd: number) => Promise<T>): Promise<T>;
  /**
   * Does the same as `write` for a download: the bytes before a failure stay, and the next call resumes after them.
   * `open` returns the bytes from `offsetBytes` to the end. Returns at once when the blob exists.
   */
  download(
    expected: ExpectedBlob,
    open: (offsetBytes: number, signal: AbortSignal) => Promise<Readable>,
    signal: AbortSignal,
  ): Promise<WrittenBlob>;
  /** Removes a blob. It may be missing. */
  remove(digest: Digest): Promise<void>;
}

export type ExpectedBlob = { readonly digest: Digest; readonly size: number };
export type WrittenBlob = { readonly digest: Digest; readonly size: number };

/**
 * Names that a user gave to images here: by `build -t`, `tag`, `load`, `import`, `pull`, `push`. Keys are full
 * references as `formatReference` writes them.
 */
export interface Refs {
  get(name: string): RefRow | undefined;
  /** Sets a name, and forgets its meaning in its registry. */
  set(name: string, target: Descriptor): void;
  /** Lists the names in order. */
  list(): readonly RefRow[];
  /** Lists the names that point at a manifest or index, in order. */
  namesOf(target: Digest): readonly string[];
  delete(name: string): boolean;
}

/**
 * Answers of registries about names of base images. They are not names of this store: no user gave them, and `images`
 * does not list them.
 */
export interface Pulled {
  get(name: string): PulledName | undefined;
  /** Records the registry's present answer for a name. */
  answered(name: string, target: Descriptor): void;
  /** Records that the registry was asked and gave no answer. */
  tried(name: string): void;
  forget(name: string): void;
}

export interface PulledName {
  readonly target: Descriptor;
  readonly answeredAtMs: number;
  /** Time of the last request, answered or not. */
  readonly triedAtMs: number;
}

/** Images and multi-platform indexes with their documents in the store. Their layers may be absent. */
export interface Images {
  /**
   * Stores an image under `names` (possibly none), in one transaction with the rows of its new layers. `manifest` and
   * `config` are the exact bytes; both are put into the blobs first.
   */
  put(image: ImageParts): StoredImage;
  /** Stores an index. Its images are stored separately, and those of other platforms may be missing. */
  putIndex(index: { readonly bytes: Uint8Array | string; readonly names: readonly string[] }): Descriptor;
  get(manifest: Digest): StoredImage | undefined;
  getIndex(digest: Digest): Index | undefined;
  /** Finds the manifest of a configuration (docker's image id). Cheap: it answers from the row alone. */
  manifestOfConfig(config: Digest): Digest | undefined;
  /**
   * Finds what a user typed: a reference, a digest of manifest, index or config, or a unique prefix of those digests.
   * @throws {BuildError} `image/not-found`, also when a prefix fits several
   */
  find(text: string): FoundImage;
  /** Lists every image and index, newest first, with its names. */
  list(): readonly ImageSummary[];
  /** Records a use; `Store.flush` writes it. */
  touch(digest: Digest): void;
  /** Removes the rows (and the names); garbage collection removes blobs and snapshots. */
  delete(digest: Digest): boolean;
}

export interface ImageParts {
  readonly manifest: Uint8Array | string;
  readonly config: Uint8Array | string;
  /** Media type of the manifest. */
  readonly mediaType: string;
  /** Layers, lowest first, one per diffID. */
  readonly layers: readonly SnapshotId[];
  /** New rows for layers the store does not know yet (`absent` when pulled lazily). Existing rows win. */
  readonly newSnapshots?: readonly NewSnapshot[];
  readonly layerBlobs?: readonly LayerBlob[];
  /** Full references to point at the image. */
  readonly names: readonly string[];
}

export type FoundImage =
  | { readonly kind: "image"; readonly name: string | undefined; readonly image: StoredImage }
  | { readonly kind: "index"; readonly name: string | undefined; readonly digest: Digest; readonly index: Index };

export interface ImageSummary {
  readonly kind: "image" | "index";
  readonly digest: Digest;
  readonly configDigest: Digest | undefined;
  /** Full references, in order. */
  readonly names: readonly string[];
  readonly layers: readonly SnapshotId[];
  /** Manifests that an index lists. */
  readonly manifests: readonly Digest[];
  readonly createdAtMs: number;
  readonly lastUsedMs: number;
}

/** A row to insert. `createdAtMs` is the time of its creation elsewhere; absent, now. */
export type NewSnapshot = Pick<SnapshotRow, "id" | "state"> &
  Partial<Pick<SnapshotRow, "diffId" | "tarSizeBytes" | "contentDigest" | "runs" | "diskBytes" | "createdAtMs">>;

/**
 * Rows of snapshots. The snapshotter owns the directories: it makes them before the row says `present`, and removes
 * them after the row.
 */
export interface Snapshots {
  /** Inserts rows. Existing rows win, but `present` replaces `absent` and missing facts are filled in. */
  insert(rows: readonly NewSnapshot[]): void;
  get(id: SnapshotId): SnapshotRow | undefined;
  /** Returns rows in the order asked, without unknown ones. */
  getMany(ids: readonly SnapshotId[]): readonly SnapshotRow[];
  /** Adds facts from packing, digesting or measuring the layer. */
  learn(id: SnapshotId, facts: SnapshotFacts): void;
  /** Records that the directory is complete under its final name. */
  markPresent(id: SnapshotId): void;
  byDiffId(diffId: Digest): readonly SnapshotRow[];
  /** Lists equal layers, oldest first: early cutoff takes the older of equal results. */
  byContentDigest(digest: Digest): readonly SnapshotRow[];
  /** Lists the blobs of a layer, local copies first. */
  layerBlobs(diffId: Digest): readonly LayerBlob[];
  addLayerBlob(blob: LayerBlob): void;
  /** Forgets a blob that turned out to hold another tar. */
  forgetLayerBlob(blob: LayerBlob): void;
  /** Lists the repositories that have a blob, whatever its diffID. */
  repositoriesOf(blob: Digest): readonly string[];
}

export type SnapshotFacts = Partial<Pick<SnapshotRow, "diffId" | "tarSizeBytes" | "contentDigest" | "diskBytes">>;

/** Cost and result of a step, from the solver; the store adds the times. */
export type NewRecord = Omit<CacheRecord, "createdAtMs" | "lastUsedMs">;

/** Cache records: the results of executed steps. */
export interface Records {
  /**
   * Finds records by key; of several with one key, the newest wins. Keys without a record are left out. One query for
   * any number of keys.
   */
  findByDefinitionKeys(keys: readonly Digest[]): ReadonlyMap<Digest, CacheRecord>;
  findByDefinitionKey(key: Digest): CacheRecord | undefined;
  findByContentKey(key: Digest): CacheRecord | undefined;
  get(id: string): CacheRecord | undefined;
  /** Returns the last `count` records of one site, newest first, to explain a miss. */
  latestBySite(site: string, count: number): readonly CacheRecord[];
  /** Returns the same for all sites that begin with a text. */
  latestBySitePrefix(prefix: string, count: number): readonly CacheRecord[];
  /** Iterates over all records with their parts, newest first, for reports. */
  list(): Iterable<CacheRecord>;
  /**
   * Inserts the record, the rows of the snapshots it made and further definition keys that lead to it, in ONE
   * transaction. The snapshots' directories and the listings' blobs must be complete before. An existing record (two
   * processes took it from one remote cache) stays as it is.
   * @param sources `layerBlobs`: repositories of absent layers
   */
  insert(
    record: NewRecord,
    sources: {
      readonly snapshots: readonly NewSnapshot[];
      readonly aliases?: readonly Digest[];
      readonly layerBlobs?: readonly LayerBlob[];
    },
  ): CacheRecord;
  /** Forgets the records with this layer in their result, because it cannot be had. Returns their number. */
  forgetLayer(snapshot: SnapshotId): number;
  /** Adds another definition key for a record, for early cutoff. */
  addAlias(recordId: string, definitionKey: Digest): void;
  /** Records a use; `flush` writes it. */
  touch(ids: Iterable<string>): void;
  /** Tells whether a definition key was recorded and its record has since been collected. */
  wasPruned(definitionKey: Digest): boolean;
}

/** Small values that make later work cheaper and may be forgotten at any time: stat indexes, HTTP validators. */
export interface Facts {
  get(kind: string, key: string): Fact | undefined;
  set(kind: string, key: string, fact: { readonly value: Uint8Array; readonly blobs?: readonly Digest[] }): void;
  delete(kind: string, key: string): void;
  /** Loads a stat index: one packed row per context directory. */
  loadStatIndex(key: string): Uint8Array | undefined;
  saveStatIndex(key: string, bytes: Uint8Array): void;
}

export interface Fact {
  readonly value: Uint8Array;
  /** Blobs that the value refers to: kept as long as the fact. */
  readonly blobs: readonly Digest[];
  readonly updatedAtMs: number;
}

/** Reports of the last builds on this store. Best effort: nothing depends on them. */
export interface Builds {
  /**
   * Notes that a build has begun, in this process's own file, which a killed process leaves behind. Never throws.
   * @param report the build's report if the process is killed: JSON in one line, with the build's `id`
   */
  begin(report: string): void;
  /**
   * Adds the report of a build that has ended, and forgets old ones: the newest 50 stay, further ones for two days, a
   * thousand at most. `report` is JSON. Never throws.
   */
  add(id: string, report: string): void;
  /** Iterates over reports, newest first; the reader checks their shape. */
  list(): Iterable<unknown>;
  /** Lists the builds that processes run, and those of killed processes. One that has a report in `list` has ended. */
  unfinished(): readonly UnfinishedBuild[];
  /** Forgets builds that do not run. */
  remove(ids: readonly string[]): void;
  /** Forgets builds that ended before a time, except the newest ones; returns their ids. */
  forget(limits: { readonly keep: number; readonly beforeMs: number }): readonly string[];
}

/** A build without a report. */
export interface UnfinishedBuild {
  readonly id: string;
  readonly state: "running" | "interrupted";
  /** The noted report; the reader checks its shape. */
  readonly report: unknown;
}

/** The right to do one piece of work, over all processes on this store. Disposing releases it; so does dying. */
export interface Lease extends Disposable {
  readonly key: string;
  /** True when another process held it first: look for its result before working. */
  readonly waited: boolean;
}

export interface Leases {
  /** Waits for the holder to finish or die. `key` is any text; equal work has equal keys. */
  acquire(key: string, signal: AbortSignal): Promise<Lease>;
  /** Takes the lease; `undefined` when another process holds it. */
  tryAcquire(key: string): Lease | undefined;
}

/** A directory to mount, claimed until disposal. */
export interface ClaimedCacheMount extends Disposable {
  /** Index among the directories of its id. */
  readonly place: number;
  readonly directory: string;
  /** True when the directory is new: seed it, then call `seeded`. */
  readonly isNew: boolean;
  /**
   * Marks a new directory as complete. A directory without this mark is emptied and seeded again by the next claimer.
   */
  seeded(): void;
}

export interface CacheMounts {
  /**
   * Claims a directory. `shared`: many at once. `locked`: one at a time, others wait. `private`: one at a time, others
   * get a directory of their own. While a directory is new, its first claimer has it alone until `seeded`.
   */
  claim(id: string, sharing: "shared" | "private" | "locked", signal: AbortSignal): Promise<ClaimedCacheMount>;
  /** Claims one of the directories of an id, exclusively. */
  claimPlace(id: string, place: number, signal: AbortSignal): Promise<ClaimedCacheMount>;
  list(): readonly CacheMountEntry[];
}

export interface CacheMountEntry {
  readonly id: string;
  /** 0 is the directory that all claims except `private` ones share; further ones were made while it was taken. */
  readonly place: number;
  readonly directory: string;
  readonly createdAtMs: number;
  readonly lastUsedMs: number;
}

/** The whole output of one step, never truncated. */
export interface StepLog extends Disposable {
  /** Name relative to `layout.logs`: the value of a record's `logFile`. */
  readonly name: string;
  readonly path: string;
  readonly sizeBytes: number;
  /** Bytes that the log has no room for: it holds 1 GiB at most, and says at its end what is missing. */
  readonly leftOutBytes: number;
  /** Appends output. A full disk does not stop the step: the log then ends early. */
  write(chunk: Uint8Array | string): void;
  /** Ends the file; without output there is none. Disposal does the same. */
  close(): void;
}

export interface Logs {
  create(stepId: string): StepLog;
  open(name: string): Readable;
  pathOf(name: string): string;
}
