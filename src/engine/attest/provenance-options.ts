/** What `--provenance` asks for. */
export interface ProvenanceOptions {
  /** `min`: what was built from what. `max`: also the arguments, the Dockerfile and every step. */
  readonly mode: "min" | "max";
  /** Of the SLSA predicate. */
  readonly version: "v1" | "v0.2";
  /** Who builds, as a URI; empty when nobody says. */
  readonly builderId: string;
  /** Claimed by whoever builds; kiln does not check it. */
  readonly reproducible: boolean;
  /** Only with images that are pushed, not in files. */
  readonly inlineOnly: boolean;
}
