import type { Digest } from "../core/digest.ts";
import type { Descriptor, ImageConfig, Manifest } from "../core/oci.ts";
import type { LayerRuns } from "../core/run-interval.ts";

declare const brand: unique symbol;

/**
 * The id of one snapshot, and the name of its directory under `snapshots/`: letters, digits and `-` only. Random for a
 * tree built here; `layer-<diffID hex>` for a layer of an image, so that images that share a layer share the directory;
 * `built-<diffID hex>` for a layer that a step made on another machine.
 */
export type SnapshotId = string & { readonly [brand]: "snapshot" };

/**
 * One layer's files: a directory that holds the difference to the layers below (whiteouts included). A snapshot never
 * changes; a row may get more facts later (`diffId`, `contentDigest`).
 */
export interface SnapshotRow {
  readonly id: SnapshotId;
  /**
   * `absent`: only the diffID and the places of its blob are known; the directory is made when a step needs the files.
   */
  readonly state: "present" | "absent";
  /** Digest of the layer's uncompressed tar; unknown until packed. */
  readonly diffId: Digest | undefined;
  /** Size of that tar. */
  readonly tarSizeBytes: number | undefined;
  /** Digest of the files, with the times that count (docs/results.md); computed on demand. */
  readonly contentDigest: Digest | undefined;
  /** Runs during which the files were made; `undefined` where times do not count, or count in the diffID. */
  readonly runs: LayerRuns;
  /** Bytes on disk, as `du` counts them. */
  readonly diskBytes: number | undefined;
  readonly createdAtMs: number;
  readonly lastUsedMs: number;
}

/** A blob with a layer's tar, in the store or in a registry. One diffID may have several. */
export interface LayerBlob {
  readonly diffId: Digest;
  readonly descriptor: Descriptor;
  /** Repository that has the blob (`docker.io/library/alpine`); `undefined` when only the local store has it. */
  readonly repository: string | undefined;
}

/**
 * One named input of a step. Names are shown to people: `instruction`, `ARG GIT_SHA`, `ENV PATH`, `parent`, `files`.
 */
export type KeyPart = {
  readonly name: string;
  /** The value itself when short and harmless, otherwise its digest. Never a secret's value. */
  readonly value: string;
  /** Listing of a `files` part: a blob with one line per selected file. A miss uses it to name the file that differs. */
  readonly listing?: Digest;
  /**
   * Absent: counts in both keys. `definition`: only in the definition key (an input's own key). `content`: only in the
   * content key (digest of the used files of an input). `note`: in neither; kept for display, such as the name of a
   * base image.
   */
  readonly basis?: "definition" | "content" | "note";
};

/** One executed step: its inputs, its result, its cost. Immutable except for `lastUsedMs`. */
export interface CacheRecord {
  readonly id: string;
  readonly definitionKey: Digest;
  /** The key with inputs replaced by content digests; `undefined` where inputs were never digested. */
  readonly contentKey: Digest | undefined;
  /** Identity of a step when a miss is explained: stage and instruction, whatever their inputs. */
  readonly site: string;
  /** Display name, `[build 2/5] RUN make`. */
  readonly name: string;
  readonly parts: readonly KeyPart[];
  /** The whole resulting tree, lowest layer first. */
  readonly layers: readonly SnapshotId[];
  readonly wallMs: number;
  readonly cpuMs: number;
  readonly peakMemoryBytes: number | undefined;
  /** Path below the store's `logs/`; `undefined` for steps that print nothing. */
  readonly logFile: string | undefined;
  /** `local`, or the source of an imported record. */
  readonly producer: string;
  readonly createdAtMs: number;
  readonly lastUsedMs: number;
}

/**
 * An image in the local store. The manifest's descriptors name its layers. Layers built here are listed as uncompressed
 * tars (digest = diffID); reading makes those tars again from their snapshots.
 */
export interface StoredImage {
  readonly manifestDigest: Digest;
  readonly manifest: Manifest;
  readonly configDigest: Digest;
  readonly config: ImageConfig;
  /** Lowest first, one per diffID of the config. */
  readonly layers: readonly SnapshotId[];
}

/** A changeable name: a full reference text (`docker.io/library/app:latest`) and the manifest or index it points at. */
export interface RefRow {
  readonly name: string;
  readonly target: Descriptor;
  readonly updatedAtMs: number;
}
