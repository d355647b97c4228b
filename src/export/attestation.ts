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

const STATEMENT_TYPE = "application/vnd.in-toto+json";
/**
 * The config of a manifest without one; its bytes are in the descriptor too. OCI image-spec 1.1, "empty descriptor".
 */
const EMPTY = Buffer.from("{}");
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
  image: { readonly manifest: Descriptor; readonly platform: Platform; readonly names: readonly string[] },
  attestations: readonly Attestation[],
  family: MediaTypeFamily,
): AttestationDocuments {
  if (family === "docker") {
    throw new BuildError("export/unsupported", 'Cannot export attestations with "oci-mediatypes=false"', {
      hint: "leave one of the two out",
    });
  }
  const { mediaType, digest, size } = image.manifest;
  const subject = subjectsOf(image);
  const statements = attestations.map(({ predicateType, predicate }) => {
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
  const config: Document = {
    bytes: EMPTY,
    descriptor: {
      mediaType: MEDIA_TYPES.ociEmpty,
      digest: digestOf(EMPTY),
      size: EMPTY.length,
      data: EMPTY.toString("base64"),
    },
  };
  const manifest = attestationManifest({
    config: config.descriptor,
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
  return { manifest: { ...manifest, descriptor }, config, statements };
}

/** Lists one subject per name; an image without one is `_`. */
function subjectsOf(image: Parameters<typeof attest>[0]): Json {
  const digest = { sha256: hexOf(image.manifest.digest) };
  const names = image.names.map((name) => imagePurl(parseReference(name), image.platform));
  return (names.length === 0 ? ["_"] : names).map((name) => ({ name, digest }));
}
