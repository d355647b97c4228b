import type { Readable, Writable } from "node:stream";
import type { Digest } from "../../lib/core/digest.ts";
import type { Descriptor, ImageConfig } from "../../lib/core/oci.ts";
import type { Platform } from "../../lib/core/platform.ts";
import type { ProgressSink } from "../../lib/core/progress.ts";
import type { SnapshotId } from "../../lib/store/model.ts";
import type { Attestation } from "./attestation.ts";

/** One layer of a result, lowest first in its list. The bytes are found or made when an exporter reads them. */
export interface ResultLayer {
  readonly diffId: Digest;
  /** Of the uncompressed tar; `undefined` for a base layer that was never unpacked here. */
  readonly tarSizeBytes: number | undefined;
  readonly snapshot: SnapshotId;
  /** `base` layers keep the form they were pulled in, and their files' times. */
  readonly origin: "base" | "built";
  /** Of a base layer: its blob as the base image names it. The store may have met others with the same tar. */
  readonly blob?: Digest | undefined;
  /** Files' times are no later than this when packed, in seconds since the epoch; the diffID is of that tar. */
  readonly latestMtime?: number;
}

/** What a build made for one platform: complete but for the layers' bytes. */
export interface ResultImage {
  readonly platform: Platform;
  /** With `created`, `history` and `rootfs.diff_ids` filled in. */
  readonly config: ImageConfig;
  readonly layers: readonly ResultLayer[];
  /** The first so many history entries are the base image's own. */
  readonly baseHistoryCount: number;
  /** Seconds since the epoch, from SOURCE_DATE_EPOCH. */
  readonly sourceDateEpoch: number | undefined;
  /** Of an image that exists already: what of it need not change goes on byte for byte, digest and all. */
  readonly documents?: ImageDocuments;
  /** Go along with the image where there is an index to list them. */
  readonly attestations?: readonly Attestation[];
}

/** An image's configuration and manifest as somebody wrote them. */
export interface ImageDocuments {
  readonly config: Uint8Array;
  readonly manifest: Uint8Array;
  readonly mediaType: string;
  /** As in the manifest. */
  readonly layers: readonly Digest[];
}

/** Everything that was built at once: one image per platform. */
export interface Result {
  readonly images: readonly ResultImage[];
  /** True when an index was asked for even with one platform. */
  readonly multiPlatform: boolean;
  /** Of an index that exists already; used when it lists just what is exported. */
  readonly index?: { readonly bytes: Uint8Array; readonly mediaType: string; readonly manifests: readonly Digest[] };
  /** Full references, from the build's tags. */
  readonly names: readonly string[];
}

/** What an exporter wrote. Files have no digests: `manifest` is then absent. */
export interface Exported {
  /** Of the manifest or, for several platforms, the index. */
  readonly manifest?: Descriptor;
  /** Digest of the image's configuration: what `docker images` calls the image id. Several platforms have one each, so none here. */
  readonly configDigest?: Digest;
  readonly names: readonly string[];
}

/** A sink for results. Reads layers, writes somewhere, changes neither the result nor the snapshots. */
export interface Exporter {
  /** As the progress display says it: `exporting to oci image format`. */
  readonly description: string;
  export(result: Result, progress: ExportProgress, signal: AbortSignal): Promise<Exported>;
}

/** Where an exporter reports its work: one step of the display. */
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

/** For places that have no room for attestations. */
export function withoutAttestations(result: Result): Result {
  return { ...result, images: result.images.map((image) => ({ ...image, attestations: [] })) };
}
