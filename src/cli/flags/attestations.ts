import type { ProvenanceOptions } from "../../engine/attest/provenance-options.ts";
import type { AttestStyle } from "../../export/exporter.ts";
import { keyValues, malformed } from "./csv.ts";

/** The flags that ask for attestations. */
export interface AttestationFlags {
  readonly attest?: readonly string[];
  readonly provenance?: string;
  readonly sbom?: string;
  readonly attestStyle?: string;
}

/** The requested attestations, and a sentence for each part that kiln does not make. */
export interface WantedAttestations {
  readonly provenance: ProvenanceOptions | undefined;
  readonly sbom: boolean;
  readonly attestStyle: AttestStyle | undefined;
  readonly notices: readonly string[];
}

const PROVENANCE_KEYS = [
  ...["type", "mode", "version", "builder-id", "reproducible", "inline-only", "disabled"],
  // Attributes for files that kiln does not write, and for measurements that it does not publish.
  ...["filename", "capture-usage", "complete-materials"],
];

/**
 * Reads `--attest type=provenance,...`, and its short forms `--provenance` and `--sbom`. The last one of a type counts.
 * @throws {BuildError} `cli/usage`
 */
export function attestations(flags: AttestationFlags): WantedAttestations {
  const wanted = new Map<string, Wish>();
  for (const text of flags.attest ?? []) {
    const wish = { flag: "attest", text, values: keyValues(text, "attest") };
    wanted.set(typeOf(wish), wish);
  }
  for (const type of ["provenance", "sbom"] as const) {
    const text = flags[type];
    if (text !== undefined) wanted.set(type, { flag: type, text, values: shorthand(text, type) });
  }
  const sbom = wanted.get("sbom");
  const provenance = wanted.get("provenance");
  const hasSbom = sbom !== undefined && !isOff(sbom);
  return {
    provenance: provenance === undefined || isOff(provenance) ? undefined : provenanceOptions(provenance),
    sbom: hasSbom,
    attestStyle: styleOf(flags.attestStyle),
    notices: hasSbom ? scannerNotices(sbom) : [],
  };
}

/** Reports attributes of scanners: kiln lists packages by itself. */
function scannerNotices({ flag, values }: Wish): readonly string[] {
  const ignored = [...values.keys()].filter((key) => key !== "type" && key !== "disabled");
  if (ignored.length === 0) return [];
  return [`${ignored.join(" and ")} of --${flag} is ignored: kiln lists packages by itself and runs no scanner image`];
}

function styleOf(text: string | undefined): AttestStyle | undefined {
  if (text === undefined || text === "") return undefined;
  if (text === "index" || text === "referrers") return text;
  throw malformed("attest-style", text, "there is no such style", "styles: index, referrers");
}

interface Wish {
  readonly flag: string;
  readonly text: string;
  readonly values: ReadonlyMap<string, string>;
}

function typeOf({ flag, text, values }: Wish): "provenance" | "sbom" {
  const type = values.get("type");
  if (type === "sbom" || type === "provenance") return type;
  throw malformed(
    flag,
    text,
    type === undefined ? "it has no type" : `unknown attestation type ${JSON.stringify(type)}`,
    "types: sbom, provenance",
  );
}

/** Expands `--sbom` and `--provenance`, which take a boolean or attributes. */
function shorthand(text: string, type: string): Map<string, string> {
  if (/^(1|t|true)$/i.test(text)) return new Map();
  if (/^(0|f|false)$/i.test(text)) return new Map([["disabled", "true"]]);
  return keyValues(text, type);
}

function isOff({ values }: Wish): boolean {
  return isTrue(values.get("disabled")) || values.get("mode") === "disabled";
}

function isTrue(text: string | undefined): boolean {
  return /^(1|t|true)$/i.test(text ?? "");
}

function provenanceOptions({ flag, text, values }: Wish): ProvenanceOptions {
  for (const key of values.keys()) {
    if (!PROVENANCE_KEYS.includes(key))
      throw malformed(flag, text, `provenance has no attribute ${JSON.stringify(key)}`);
  }
  const mode = values.get("mode") ?? (flag === "attest" ? "max" : "min");
  if (mode !== "min" && mode !== "max" && mode !== "full") {
    throw malformed(flag, text, `invalid mode ${JSON.stringify(mode)}`, "modes: min, max");
  }
  const version = values.get("version") ?? "v1";
  if (version !== "v1" && version !== "v0.2") {
    throw malformed(flag, text, `invalid version ${JSON.stringify(version)}`, "versions: v1, v0.2");
  }
  return {
    mode: mode === "full" ? "max" : mode,
    version,
    builderId: values.get("builder-id") ?? "",
    reproducible: isTrue(values.get("reproducible")),
    inlineOnly: isTrue(values.get("inline-only")),
  };
}
