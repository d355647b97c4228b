import type { OutputSpec } from "../../export/output-spec.ts";
import type { BuildOptions } from "../options.ts";

/** Tells whether an output has a place for the provenance that is wanted: a pushed index, or an OCI layout. */
export function carriesProvenance(output: OutputSpec, { provenance: wanted }: BuildOptions): boolean {
  if (wanted === undefined) return false;
  return hasPlace(output) && !(output.kind === "oci" && wanted.inlineOnly);
}

/** Tells whether an output gets a list of packages. */
export function carriesSbom(output: OutputSpec, { sbom = false }: BuildOptions): boolean {
  return sbom && hasPlace(output);
}

function hasPlace(output: OutputSpec): boolean {
  return (output.kind === "image" && output.push) || output.kind === "oci";
}
