import type { Readable, Writable } from "node:stream";
import type { Digest } from "../../lib/core/digest.ts";
import type { Descriptor, ImageConfig } from "../../lib/core/oci.ts";
import type { Platform } from "../../lib/core/platform.ts";
import type { ProgressSink } from "../../lib/core/progress.ts";
import type { SnapshotId } from "../../lib/store/model.ts";
import type { Attestation } from "./attestation.ts";

/** One layer of a result, lowest first in its list. Its bytes are found or made when an exporter reads them. */
export interface ResultLayer {
  readonly diffId: Digest;
  /** Size of the uncompressed tar; `undefined` for a base layer that was never unpacked here. */
  readonly tarSizeBytes: number | undefined;
  readonly snapshot: SnapshotId;
  /** `base` layers keep the form in which they were pulled, and their files' times. */
  readonly origin: "base" | "built";
  /** Blob of a base layer in the base image. The store may have other blobs with the same tar. */
  readonly blob?: Digest | undefined;
  /** Latest time of its files when packed, in seconds since the epoch; the diffID is that of the packed tar. */
  readonly latestMtime?: number;
}

/** The result for one platform, complete except for the layers' bytes. */
export interface ResultImage {
  readonly platform: Platform;
  /** Complete configuration, including `created`, `history` and `rootfs.diff_ids`. */
  readonly config: ImageConfig;
  readonly layers: readonly ResultLayer[];
  /** Number of leading history entries that belong to the base image. */
  readonly baseHistoryCount: number;
  /** Seconds since the epoch, from SOURCE_DATE_EPOCH. */
  readonly sourceDateEpoch: number | undefined;
  /** Documents of an existing image: unchanged ones are exported byte for byte, with the same digest. */
  readonly documents?: ImageDocuments;
  /** Attestations, exported with the image where an index can list them. */
  readonly attestations?: readonly Attestation[];
}

/** An image's configuration and manifest in another writer's bytes. */
export interface ImageDocuments {
  readonly config: Uint8Array;
  readonly manifest: Uint8Array;
  readonly mediaType: string;
  /** Layers of the manifest. */
  readonly layers: readonly Digest[];
}

/** All images of one build: one per platform. */
export interface Result {
  readonly images: readonly ResultImage[];
  /** True when an index was asked for even with one platform. */
  readonly multiPlatform: boolean;
  /** An existing index, used when it lists exactly the exported images. */
  readonly index?: { readonly bytes: Uint8Array; readonly mediaType: string; readonly manifests: readonly Digest[] };
  /** Full references, from the build's tags. */
  readonly names: readonly string[];
  /** Place of attestations; `index` unless given. */
  readonly attestStyle?: AttestStyle | undefined;
}

/** `index`: beside the image in an index, as BuildKit has them. `referrers`: as artifacts that refer to the image. */
export type AttestStyle = "index" | "referrers";

/** The output of an exporter. Files have no digests: `manifest` is then absent. */
export interface Exported {
  /** Descriptor of the manifest or, for several platforms, the index. */
  readonly manifest?: Descriptor;
  /**
   * Digest of the image's configuration: the image id of `docker images`. Absent for several platforms, which have one
   * each.
   */
  readonly configDigest?: Digest;
  readonly names: readonly string[];
}

/** A sink for results. It reads layers and writes its output; it changes neither the result nor the snapshots. */
export interface Exporter {
  /** Text for the progress display: `exporting to oci image format`. */
  readonly description: string;
  export(result: Result, progress: ExportProgress, signal: AbortSignal): Promise<Exported>;
}

/** The progress of an exporter: one line of the display. */
export interface ExportProgress {
  readonly stepId: string;
  readonly sink: ProgressSink;
  nowMs(): number;
}

/** Bytes of a file or of standard output, opened only once there is something to write. */
export type OpenDestination = (signal: AbortSignal) => Promise<Writable>;

/** A blob that can be read from its beginning as often as needed. */
export interface ReadableBlob {
  readonly descriptor: Descriptor;
  open(signal: AbortSignal): Readable;
}

/** Removes attestations, for outputs that have no room for them. */
export function withoutAttestations(result: Result): Result {
  return { ...result, images: result.images.map((image) => ({ ...image, attestations: [] })) };
}
