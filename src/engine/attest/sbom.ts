import { digestOf } from "../../../lib/core/digest.ts";
import { serializeImageConfig } from "../../../lib/core/image-config.ts";
import { familiarReference, parseReference } from "../../../lib/core/reference.ts";
import { VERSION } from "../../../lib/core/version.ts";
import type { Attestation } from "../../export/attestation.ts";
import type { Result, ResultImage } from "../../export/exporter.ts";
import type { BuildEnvironment } from "../environment.ts";
import { type LookParts, openImageFiles } from "../look/image-files.ts";
import { billTime } from "../sbom/bill.ts";
import { scanImage } from "../sbom/scan-image.ts";
import { billDocument } from "../sbom/write-bill.ts";

type SbomParts = LookParts & { readonly environment: Pick<BuildEnvironment, "temporaryDirectory"> };

/** An SBOM as an attestation, and a sentence for each part of the image that could not be read. */
interface SbomAttestation {
  readonly attestation: Attestation;
  readonly warnings: readonly string[];
}

/** Makes the SBOM of one image of a result, in the form in which BuildKit attaches those of its scanners. */
export async function sbomAttestation(
  { names: [name] }: Pick<Result, "names">,
  image: ResultImage,
  parts: SbomParts,
  signal: AbortSignal,
): Promise<SbomAttestation> {
  await using files = await openImageFiles(parts, { layers: image.layers.map(({ snapshot }) => snapshot) }, signal);
  const inventory = await scanImage(files, parts.environment, signal);
  const digest = digestOf(serializeImageConfig(image.config));
  const bill = {
    inventory,
    name: name === undefined ? digest : familiarReference(parseReference(name)),
    digest,
    created: billTime(image.config.created),
    toolVersion: VERSION,
  };
  return {
    attestation: { predicateType: "https://spdx.dev/Document", predicate: billDocument(bill) },
    warnings: inventory.warnings,
  };
}
