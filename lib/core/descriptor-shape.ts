import type { Descriptor, DescriptorPlatform } from "./oci.ts";
import { DIGEST, list, mapOf, NUMBER, object, optional, type Shape, TEXT } from "./shape.ts";

/** A descriptor as kiln itself has written it. Those of other programs are read by `parseManifestDocument`. */
export const descriptorShape: Shape<Descriptor> = object<Descriptor>({
  mediaType: TEXT,
  digest: DIGEST,
  size: NUMBER,
  annotations: optional(mapOf(TEXT)),
  platform: optional(
    object<DescriptorPlatform>({
      architecture: TEXT,
      os: TEXT,
      variant: optional(TEXT),
      "os.version": optional(TEXT),
      "os.features": optional(list(TEXT)),
    }),
  ),
  artifactType: optional(TEXT),
  data: optional(TEXT),
  urls: optional(list(TEXT)),
});
