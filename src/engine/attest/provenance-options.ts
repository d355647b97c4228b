/** The value of `--provenance`. */
export interface ProvenanceOptions {
  /** `min`: the sources and the base images. `max`: also the arguments, the Dockerfile and every step. */
  readonly mode: "min" | "max";
  /** Version of the SLSA predicate. */
  readonly version: "v1" | "v0.2";
  /** Identity of the builder, as a URI; empty when not given. */
  readonly builderId: string;
  /** The builder's own claim; kiln does not check it. */
  readonly reproducible: boolean;
  /** True to attach it only to pushed images, not to files. */
  readonly inlineOnly: boolean;
}
