import { digestOf, hexOf } from "../../lib/core/digest.ts";
import { BuildError } from "../../lib/core/errors.ts";
import type { Json } from "../../lib/core/json.ts";
import { type Descriptor, MEDIA_TYPES } from "../../lib/core/oci.ts";
import type { Platform } from "../../lib/core/platform.ts";
import { imagePurl } from "../../lib/core/purl.ts";
import { parseReference } from "../../lib/core/reference.ts";
import { attestationManifest, type Document, existingDocument } from "./documents.ts";
import type { MediaTypeFamily } from "./documents.ts";

/** A statement about an image. Exporters add the subject, because only the manifest identifies the image. */
export interface Attestation {
  /** `https://slsa.dev/provenance/v1` */
  readonly predicateType: string;
  readonly predicate: Json;
}

/** An image's attestations as they are stored beside it. */
export interface AttestationDocuments {
  readonly manifest: Document;
  readonly config: Document;
  /** The in-toto statements, which are the manifest's layers. */
  readonly statements: readonly Document[];
}

/** The subject of attestations: an image's manifest, and what it is called. */
interface AttestedImage {
  readonly manifest: Descriptor;
  readonly platform: Platform;
  readonly names: readonly string[];
}

const STATEMENT_TYPE = "application/vnd.in-toto+json";
/**
 * The config of a manifest without one; its bytes are in the descriptor too. OCI image-spec 1.1, "empty descriptor".
 */
const EMPTY = Buffer.from("{}");
const EMPTY_CONFIG: Document = {
  bytes: EMPTY,
  descriptor: {
    mediaType: MEDIA_TYPES.ociEmpty,
    digest: digestOf(EMPTY),
    size: EMPTY.length,
    data: EMPTY.toString("base64"),
  },
};
/** BuildKit's limit: a larger statement is treated as a file. */
const MAX_STATEMENT_BYTES = 40 << 20;

/**
 * Makes the attestation manifest of one image:
 *
 *     index -> image manifest
 *           -> attestation manifest (platform unknown/unknown, annotated with the digest of the image manifest)
 *                  -> statement: subject = names and digest of the image manifest; predicate
 *
 * @throws {BuildError} `export/unsupported` with Docker's media types, which have no such thing
 */
export function attest(
  image: AttestedImage,
  attestations: readonly Attestation[],
  family: MediaTypeFamily,
): AttestationDocuments {
  if (family === "docker") {
    throw new BuildError("export/unsupported", 'Cannot export attestations with "oci-mediatypes=false"', {
      hint: "leave one of the two out",
    });
  }
  const { mediaType, digest, size } = image.manifest;
  const statements = statementsOf(image, attestations);
  const manifest = attestationManifest({
    artifactType: "application/vnd.docker.attestation.manifest.v1+json",
    config: EMPTY_CONFIG.descriptor,
    layers: statements.map(({ descriptor }) => descriptor),
    subject: { mediaType, digest, size },
  });
  const descriptor: Descriptor = {
    ...manifest.descriptor,
    annotations: {
      "vnd.docker.reference.digest": digest,
      "vnd.docker.reference.type": "attestation-manifest",
    },
    platform: { architecture: "unknown", os: "unknown" },
  };
  return { manifest: { ...manifest, descriptor }, config: EMPTY_CONFIG, statements };
}

/**
 * Makes one artifact per attestation that refers to the image, so that registries list it by its kind:
 *
 *     artifact (type in-toto, annotated with the predicate type) -> subject: image manifest
 *                                                                -> statement
 *
 * @see https://github.com/opencontainers/image-spec/blob/main/manifest.md#guidelines-for-artifact-usage
 */
export function attestAsReferrers(image: AttestedImage, attestations: readonly Attestation[]): AttestationDocuments[] {
  const { mediaType, digest, size } = image.manifest;
  return statementsOf(image, attestations).map((statement) => {
    const annotations = statement.descriptor.annotations ?? {};
    const manifest = attestationManifest({
      artifactType: STATEMENT_TYPE,
      config: EMPTY_CONFIG.descriptor,
      layers: [statement.descriptor],
      subject: { mediaType, digest, size },
      annotations,
    });
    const descriptor = { ...manifest.descriptor, artifactType: STATEMENT_TYPE, annotations };
    return { manifest: { ...manifest, descriptor }, config: EMPTY_CONFIG, statements: [statement] };
  });
}

/** Writes the statements: the attestations with the image as their subject. */
function statementsOf(image: AttestedImage, attestations: readonly Attestation[]): readonly Document[] {
  const subject = subjectsOf(image);
  return attestations.map(({ predicateType, predicate }) => {
    const bytes = Buffer.from(
      JSON.stringify({ _type: "https://in-toto.io/Statement/v1", predicateType, subject, predicate }),
    );
    if (bytes.length > MAX_STATEMENT_BYTES) {
      throw new BuildError(
        "export/unsupported",
        `Cannot export a ${predicateType} attestation of ${bytes.length} bytes`,
      );
    }
    const { descriptor } = existingDocument(STATEMENT_TYPE, bytes);
    return { bytes, descriptor: { ...descriptor, annotations: { "in-toto.io/predicate-type": predicateType } } };
  });
}

/** Lists one subject per name; an image without one is `_`. */
function subjectsOf(image: AttestedImage): Json {
  const digest = { sha256: hexOf(image.manifest.digest) };
  const names = image.names.map((name) => imagePurl(parseReference(name), image.platform));
  return (names.length === 0 ? ["_"] : names).map((name) => ({ name, digest }));
}
