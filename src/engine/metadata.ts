import type { Json } from "../../lib/core/json.ts";
import { formatReference, parseReference } from "../../lib/core/reference.ts";
import type { BuildResult } from "./build-result.ts";

/** Makes the content of `--metadata-file`, under buildx's names. */
export function metadataOf(result: BuildResult, withWarnings: boolean): { readonly [key: string]: Json } {
  const { imageId, manifest, names, warnings, provenance } = result;
  return {
    ...Object.fromEntries(
      provenance.map(({ platform, predicate }) => [
        provenance.length === 1 ? "buildx.build.provenance" : `buildx.build.provenance/${platform}`,
        predicate,
      ]),
    ),
    "buildx.build.ref": result.ref,
    ...(withWarnings && warnings.length > 0
      ? {
          "buildx.build.warnings": warnings.map((warning) => ({
            vertex: warning.rule,
            short: warning.message,
            detail: warning.description,
            ...(warning.url === undefined ? {} : { url: warning.url }),
            range: { start: warning.span.start.line, end: warning.span.end.line },
          })),
        }
      : {}),
    ...(imageId === undefined ? {} : { "containerimage.config.digest": imageId }),
    ...(manifest === undefined
      ? {}
      : { "containerimage.descriptor": { ...manifest }, "containerimage.digest": manifest.digest }),
    ...(names.length === 0 ? {} : { "image.name": names.map(fullName).join(",") }),
  };
}

/** Writes a name with registry and folder, as buildx does; `latest` may be left out. */
function fullName(name: string): string {
  const reference = parseReference(name);
  return formatReference(reference.tag === "latest" ? { ...reference, tag: undefined } : reference);
}
