import type { Digest } from "../core/digest.ts";
import type { Descriptor, ImageConfig, Manifest } from "../core/oci.ts";
import type { LayerRuns } from "../core/run-interval.ts";

declare const brand: unique symbol;

/**
 * Names one snapshot and its directory under `snapshots/`: letters, digits and `-` only. Random for a tree built here,
 * `layer-<diffID hex>` for a layer of an image, so that images that share a layer share the directory; `built-<diffID hex>`
 * for what a step made on another machine.
 */
export type SnapshotId = string & { readonly [brand]: "snapshot" };

/**
 * One layer's files: a directory that holds the difference to whatever it is stacked on (whiteouts included).
 * A snapshot never changes; a row may learn more about it later (`diffId`, `contentDigest`).
 */
export interface SnapshotRow {
  readonly id: SnapshotId;
  /** `absent`: known only by its diffID and where its blob can be had; its directory is made when a step needs the files. */
  readonly state: "present" | "absent";
  /** Digest of the layer's uncompressed tar; unknown until packed. */
  readonly diffId: Digest | undefined;
  /** Size of that tar. */
  readonly tarSizeBytes: number | undefined;
  /** Digest of the files, with the times that count (docs/results.md); `undefined` until someone needs it. */
  readonly contentDigest: Digest | undefined;
  /** Which times of the files are those of the making; `undefined` where times do not count, or count in the diffID. */
  readonly runs: LayerRuns;
  /** Bytes on disk, as `du` counts them. */
  readonly diskBytes: number | undefined;
  readonly createdAtMs: number;
  readonly lastUsedMs: number;
}

/** A blob that holds a layer's tar, in the store or in a registry. One diffID may have several. */
export interface LayerBlob {
  readonly diffId: Digest;
  readonly descriptor: Descriptor;
  /** Repository the blob can be fetched from (`docker.io/library/alpine`); `undefined` when it only is in the local store. */
  readonly repository: string | undefined;
}

/** One named input of a step. Names are shown to people: `instruction`, `ARG GIT_SHA`, `ENV PATH`, `parent`, `files`. */
export type KeyPart = {
  readonly name: string;
  /** The value itself when short and harmless, else its digest. Never a secret's value. */
  readonly value: string;
  /** For `files` parts: blob with one line per selected file, by which a miss names the file that differs. */
  readonly listing?: Digest;
  /**
   * Absent: counts in both keys. `definition`: only in the definition key (an input's own key). `content`: only in the
   * content key (digest of the files used of an input). `note`: in none; kept to be shown, as the name of a base image.
   */
  readonly basis?: "definition" | "content" | "note";
};

/** One executed step: what it was asked, what came out, what it cost. Immutable but for `lastUsedMs`. */
export interface CacheRecord {
  readonly id: string;
  readonly definitionKey: Digest;
  /** The key with inputs replaced by content digests; `undefined` where inputs were never hashed. */
  readonly contentKey: Digest | undefined;
  /** What makes two runs "the same step" for explaining a miss: stage and instruction, whatever their inputs. */
  readonly site: string;
  /** As displayed, `[build 2/5] RUN make`. */
  readonly name: string;
  readonly parts: readonly KeyPart[];
  /** The whole resulting tree, lowest layer first. */
  readonly layers: readonly SnapshotId[];
  readonly wallMs: number;
  readonly cpuMs: number;
  readonly peakMemoryBytes: number | undefined;
  /** Path below the store's `logs/`; `undefined` for steps that print nothing. */
  readonly logFile: string | undefined;
  /** `local`, or where the record was imported from. */
  readonly producer: string;
  readonly createdAtMs: number;
  readonly lastUsedMs: number;
}

/**
 * An image in the local store. Its layers are named by the manifest's descriptors; those built here are listed as
 * uncompressed tars (digest = diffID) that are made again from their snapshots when read.
 */
export interface StoredImage {
  readonly manifestDigest: Digest;
  readonly manifest: Manifest;
  readonly configDigest: Digest;
  readonly config: ImageConfig;
  /** Lowest first, one per diffID of the config. */
  readonly layers: readonly SnapshotId[];
}

/** A changeable name: full reference text (`docker.io/library/app:latest`) to the manifest or index it names. */
export interface RefRow {
  readonly name: string;
  readonly target: Descriptor;
  readonly updatedAtMs: number;
}
