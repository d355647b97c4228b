import type { Readable } from "node:stream";
import type { Digest } from "../core/digest.ts";
import type { GrowingBlob } from "./growing-blob.ts";
import type { Descriptor, Index } from "../core/oci.ts";
import type { CacheRecord, LayerBlob, RefRow, SnapshotId, SnapshotRow, StoredImage } from "./model.ts";

/*
 * The surface of the store. Everything that answers from the database is synchronous, because SQLite is; everything
 * that moves files is not. All of it is safe beside other processes on the same root.
 *
 * An open store is also a registration: whatever it handed out (records, snapshots, images, blobs) and whatever was
 * made since it was opened stays until it is closed, however hard another process collects garbage.
 */
export interface Store extends AsyncDisposable {
  /** Absolute. */
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
   * Writes what `touch` collected, in one transaction, and nothing when no use is older than `TOUCH_INTERVAL_MS`.
   * Best effort: a database busy with another writer is left alone. Called by disposal too.
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
  /** One file per open store: what it holds. */
  readonly running: string;
  readonly database: string;
}

/** Bytes found by their digest: files `blobs/sha256/<hex>`. They have no row; what nothing names is garbage. */
export interface Blobs {
  has(digest: Digest): boolean;
  /** Bytes, `undefined` when there is no such blob. */
  sizeOf(digest: Digest): number | undefined;
  /** Absolute path of the blob's file, for handing to a worker thread. Says nothing about whether it exists. */
  pathOf(digest: Digest): string;
  /**
   * The blob's bytes, unchecked: whoever needs to know hashes them. The caller reads to the end or destroys.
   * @throws {BuildError} `store/corrupt` when there is no such blob.
   */
  open(digest: Digest, from?: { readonly offsetBytes: number }): Readable;
  /**
   * A small document, checked against its digest.
   * @returns `undefined` when there is no such blob.
   * @throws {BuildError} `store/corrupt` when it is larger than `maxBytes` or does not have its digest.
   */
  readBytes(digest: Digest, maxBytes: number): Buffer | undefined;
  /** Keeps a small document. Returns its digest and size; writing what is there already costs one look. */
  put(bytes: Uint8Array | string): WrittenBlob;
  /**
   * Keeps a stream's bytes: temporary file, hashed while writing, checked, renamed. A chunk may be used again for the next one.
   * @param onStart given the blob before its first byte is written, for those who can use what there is of it.
   * @throws {BuildError} `digest/mismatch` when `expected` is given and differs; `store/full`.
   */
  write(
    stream: AsyncIterable<Uint8Array>,
    expected: ExpectedBlob | undefined,
    signal: AbortSignal,
    onStart?: (blob: GrowingBlob) => void,
  ): Promise<WrittenBlob>;
  /**
   * Like `write` for whoever writes into a file and digests on the way; its word is taken for what it wrote.
   * @param write given the descriptor of an empty file.
   */
  fill<T extends WrittenBlob>(write: (fd: number) => Promise<T>): Promise<T>;
  /**
   * Like `write` for a download: what arrived before a failure stays, and the next call goes on from there.
   * `open` is asked for the bytes from `offsetBytes` to the end. Returns at once when the blob is there.
   */
  download(
    expected: ExpectedBlob,
    open: (offsetBytes: number, signal: AbortSignal) => Promise<Readable>,
    signal: AbortSignal,
  ): Promise<WrittenBlob>;
  /** Missing is fine. */
  remove(digest: Digest): Promise<void>;
}

export type ExpectedBlob = { readonly digest: Digest; readonly size: number };
export type WrittenBlob = { readonly digest: Digest; readonly size: number };

/**
 * Names that a person gave to images here: by `build -t`, `tag`, `load`, `import`, `pull`, `push`. Keys are full references as
 * `formatReference` writes them.
 */
export interface Refs {
  get(name: string): RefRow | undefined;
  /** Also forgets what the name meant in its registry. */
  set(name: string, target: Descriptor): void;
  /** In order of name. */
  list(): readonly RefRow[];
  /** The names that point at a manifest or index, in order. */
  namesOf(target: Digest): readonly string[];
  delete(name: string): boolean;
}

/** Answers of registries about names of base images. They are not names of this store: nobody gave them, and `images` lists none. */
export interface Pulled {
  get(name: string): PulledName | undefined;
  /** The registry says now what the name means. */
  answered(name: string, target: Descriptor): void;
  /** The registry was asked and did not say. */
  tried(name: string): void;
  forget(name: string): void;
}

export interface PulledName {
  readonly target: Descriptor;
  readonly answeredAtMs: number;
  /** When it was last asked, answered or not. */
  readonly triedAtMs: number;
}

/** Images and multi-platform indexes whose documents are in the store. Their layers may be absent. */
export interface Images {
  /**
   * Keeps an image under `names` (possibly none), in one transaction with the rows of layers it is the first to
   * mention. `manifest` and `config` are the exact bytes; both are put into the blobs first.
   */
  put(image: ImageParts): StoredImage;
  /** Keeps an index; the images it lists are put by themselves, and those of other platforms may be missing. */
  putIndex(index: { readonly bytes: Uint8Array | string; readonly names: readonly string[] }): Descriptor;
  get(manifest: Digest): StoredImage | undefined;
  getIndex(digest: Digest): Index | undefined;
  /** The image with this configuration (docker's image id). Cheap: answers from the row alone. */
  manifestOfConfig(config: Digest): Digest | undefined;
  /**
   * What a person typed: a reference, a digest of manifest, index or config, or a unique prefix of those digests.
   * @throws {BuildError} `image/not-found`, also when a prefix fits several.
   */
  find(text: string): FoundImage;
  /** Every image and index, newest first, with its names. */
  list(): readonly ImageSummary[];
  /** Notes a use; written by `Store.flush`. */
  touch(digest: Digest): void;
  /** Removes the rows (and the names); blobs and snapshots are left for garbage collection. */
  delete(digest: Digest): boolean;
}

export interface ImageParts {
  readonly manifest: Uint8Array | string;
  readonly config: Uint8Array | string;
  /** Of the manifest. */
  readonly mediaType: string;
  /** Lowest first, one per diffID. */
  readonly layers: readonly SnapshotId[];
  /** Rows to make for layers the store does not know yet (`absent` when pulled lazily). Existing rows win. */
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
  /** Of an index: the manifests it lists. */
  readonly manifests: readonly Digest[];
  readonly createdAtMs: number;
  readonly lastUsedMs: number;
}

/** `createdAtMs`: when it was made elsewhere; now, when absent. */
export type NewSnapshot = Pick<SnapshotRow, "id" | "state"> &
  Partial<Pick<SnapshotRow, "diffId" | "tarSizeBytes" | "contentDigest" | "runs" | "diskBytes" | "createdAtMs">>;

/** Rows of snapshots. The directories are the snapshotter's: made before the row says `present`, removed after. */
export interface Snapshots {
  /** Existing rows win, but `present` replaces `absent` and what a row did not know is filled in. */
  insert(rows: readonly NewSnapshot[]): void;
  get(id: SnapshotId): SnapshotRow | undefined;
  /** In the order asked; unknown ones are left out. */
  getMany(ids: readonly SnapshotId[]): readonly SnapshotRow[];
  /** Whoever packed, hashed or measured the layer says what it learned. */
  learn(id: SnapshotId, facts: SnapshotFacts): void;
  /** Its directory is complete under its final name. */
  markPresent(id: SnapshotId): void;
  byDiffId(diffId: Digest): readonly SnapshotRow[];
  /** Oldest first: early cutoff takes the older of equal results. */
  byContentDigest(digest: Digest): readonly SnapshotRow[];
  /** Local copies first. */
  layerBlobs(diffId: Digest): readonly LayerBlob[];
  addLayerBlob(blob: LayerBlob): void;
  /** The blob turned out to hold another tar: whoever said so was wrong. */
  forgetLayerBlob(blob: LayerBlob): void;
  /** Where a blob with this digest can be had, whatever its diffID. */
  repositoriesOf(blob: Digest): readonly string[];
}

export type SnapshotFacts = Partial<Pick<SnapshotRow, "diffId" | "tarSizeBytes" | "contentDigest" | "diskBytes">>;

/** What a step cost and made, as the solver hands it over: the store adds the times. */
export type NewRecord = Omit<CacheRecord, "createdAtMs" | "lastUsedMs">;

/** Cache records: the results of executed steps. */
export interface Records {
  /** Newest first wins where a key has several. Keys without a record are left out. One query however many keys. */
  findByDefinitionKeys(keys: readonly Digest[]): ReadonlyMap<Digest, CacheRecord>;
  findByDefinitionKey(key: Digest): CacheRecord | undefined;
  findByContentKey(key: Digest): CacheRecord | undefined;
  get(id: string): CacheRecord | undefined;
  /** The last `count` records of one site, newest first: what a miss is explained against. */
  latestBySite(site: string, count: number): readonly CacheRecord[];
  /** The same of all sites that begin with a text. */
  latestBySitePrefix(prefix: string, count: number): readonly CacheRecord[];
  /** Every record with its parts, newest first, for reports. */
  list(): Iterable<CacheRecord>;
  /**
   * The record, the rows of the snapshots it made and further definition keys that lead to it, in ONE transaction. The
   * snapshots' directories and the listings' blobs are complete before this is called. A record that is there already
   * (two processes took it from one remote cache) stays as it is.
   * @param at `layerBlobs`: where layers that are absent can be had.
   */
  insert(
    record: NewRecord,
    at: {
      readonly snapshots: readonly NewSnapshot[];
      readonly aliases?: readonly Digest[];
      readonly layerBlobs?: readonly LayerBlob[];
    },
  ): CacheRecord;
  /** Forgets the records whose result has this layer, because it cannot be had. Returns how many. */
  forgetLayer(snapshot: SnapshotId): number;
  /** Another definition key for a record, for early cutoff. */
  addAlias(recordId: string, definitionKey: Digest): void;
  /** Notes a use; written by `flush`. */
  touch(ids: Iterable<string>): void;
  /** Whether a definition key was ever recorded and its record has since been collected. */
  wasPruned(definitionKey: Digest): boolean;
}

/** Small values that make later work cheaper and may be forgotten at any time: stat indexes, HTTP validators. */
export interface Facts {
  get(kind: string, key: string): Fact | undefined;
  set(kind: string, key: string, fact: { readonly value: Uint8Array; readonly blobs?: readonly Digest[] }): void;
  delete(kind: string, key: string): void;
  /** One packed row per context directory. */
  loadStatIndex(key: string): Uint8Array | undefined;
  saveStatIndex(key: string, bytes: Uint8Array): void;
}

export interface Fact {
  readonly value: Uint8Array;
  /** Blobs that the value speaks of: kept as long as the fact. */
  readonly blobs: readonly Digest[];
  readonly updatedAtMs: number;
}

/** What was told of the last builds on this store, for `kiln why`. Best effort: nothing depends on it. */
export interface Builds {
  /** `report` is what `JSON.stringify` takes. Never throws. */
  add(id: string, report: object): void;
  /** Newest first, read one by one; whoever reads checks their shape. */
  list(): Iterable<unknown>;
}

/** The right to do one piece of work, over all processes on this store. Disposing gives it back; so does dying. */
export interface Lease extends Disposable {
  readonly key: string;
  /** True when somebody else held it first: look for their result before working. */
  readonly waited: boolean;
}

export interface Leases {
  /** Waits for the holder to finish or die. `key` is any text; equal work has equal keys. */
  acquire(key: string, signal: AbortSignal): Promise<Lease>;
  /** `undefined` when somebody else holds it. */
  tryAcquire(key: string): Lease | undefined;
}

/** A directory to mount, claimed until disposal. */
export interface ClaimedCacheMount extends Disposable {
  /** Which of the directories of its id. */
  readonly place: number;
  readonly directory: string;
  /** True when the directory is new: seed it, then call `seeded`. */
  readonly isNew: boolean;
  /** Marks a new directory as complete; one that never was is emptied and seeded again by the next claimer. */
  seeded(): void;
}

export interface CacheMounts {
  /**
   * `shared`: many at once. `locked`: one at a time, others wait. `private`: one at a time, others get a directory of
   * their own. While a directory is new, its first claimer has it alone until `seeded`.
   */
  claim(id: string, sharing: "shared" | "private" | "locked", signal: AbortSignal): Promise<ClaimedCacheMount>;
  /** One of the directories of an id, alone. */
  claimPlace(id: string, place: number, signal: AbortSignal): Promise<ClaimedCacheMount>;
  list(): readonly CacheMountEntry[];
}

export interface CacheMountEntry {
  readonly id: string;
  /** 0 is the directory that all claims but `private` ones share; further ones were made while it was taken. */
  readonly place: number;
  readonly directory: string;
  readonly createdAtMs: number;
  readonly lastUsedMs: number;
}

/** The whole output of one step, never clipped. */
export interface StepLog extends AsyncDisposable {
  /** Relative to `layout.logs`: what a record's `logFile` holds. */
  readonly name: string;
  readonly path: string;
  readonly sizeBytes: number;
  /** Queued; order is kept. A full disk does not stop the step: the log then ends early. */
  write(chunk: Uint8Array | string): void;
  /** Waits until everything is in the file. An empty log is removed. Disposal does the same. */
  close(): Promise<void>;
}

export interface Logs {
  create(stepId: string): StepLog;
  open(name: string): Readable;
  pathOf(name: string): string;
}
