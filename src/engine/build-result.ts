import type { Json } from "../../lib/core/json.ts";
import type { Digest } from "../../lib/core/digest.ts";
import type { Descriptor } from "../../lib/core/oci.ts";
import type { Warning } from "../../frontend/lint/warning.ts";

/** The result of a successful build. */
export interface BuildResult {
  /** Digest of the image's configuration, docker's image id. Absent for files, and for several platforms. */
  readonly imageId: Digest | undefined;
  /** The manifest, or for several platforms the index. */
  readonly manifest: Descriptor | undefined;
  /** The build's own name: builder, node and id, in buildx's form. */
  readonly ref: string;
  /** One per platform, when `recordProvenance` is set. */
  readonly provenance: readonly RecordedProvenance[];
  /** Full references of the result. */
  readonly names: readonly string[];
  /** Findings of the build checks, in order of place. */
  readonly warnings: readonly Warning[];
  readonly steps: { readonly total: number; readonly cached: number };
}

/** Provenance of one platform, for `--metadata-file`. */
export interface RecordedProvenance {
  /** `linux/amd64` */
  readonly platform: string;
  /** A SLSA 0.2 predicate, the form that buildx writes. */
  readonly predicate: Json;
}
