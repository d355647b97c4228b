import { digestOf } from "../../../lib/core/digest.ts";
import { BuildError } from "../../../lib/core/errors.ts";
import { MAX_MANIFEST_BYTES } from "../../../lib/core/manifest.ts";
import type { Index } from "../../../lib/core/oci.ts";
import type { RemoteManifest } from "../../../lib/registry/registry.ts";

/**
 * Writes an index as a registry holds it.
 * @throws {BuildError} `export/failed` for one that registries refuse
 */
export function indexDocument(index: Index): RemoteManifest {
  const bytes = Buffer.from(JSON.stringify(index, undefined, 2));
  if (bytes.length > MAX_MANIFEST_BYTES) {
    throw new BuildError("export/failed", `Cannot make the index: it has more than ${MAX_MANIFEST_BYTES >> 20} MiB`);
  }
  const descriptor = { mediaType: index.mediaType, digest: digestOf(bytes), size: bytes.length };
  return { descriptor, bytes, document: { kind: "index", index } };
}
