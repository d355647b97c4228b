import { isRecord, type Json } from "../../../lib/core/json.ts";
import { formatPlatform } from "../../../lib/core/platform.ts";
import type { Attestation } from "../../export/attestation.ts";
import type { Result } from "../../export/exporter.ts";
import type { OutputSpec } from "../../export/output-spec.ts";
import type { Vertex } from "../../../solver/graph/vertex.ts";
import type { BuildParts, PartsOf } from "../build-parts.ts";
import type { RecordedProvenance } from "../build-result.ts";
import type { SolvedBuild } from "../solve-build.ts";
import type { LookParts } from "../look/image-files.ts";
import { shownStep } from "../shown-step.ts";
import { type BuildFacts, provenance } from "./provenance.ts";
import { carriesProvenance, carriesSbom } from "./wanted-attestations.ts";

type AttestParts = PartsOf<"options" | "reporter", "environment" | "store">;

/** Makes provenance for the metadata file, whether the images carry one or not; none when it is not requested. */
export function recordedProvenance(solved: SolvedBuild, parts: AttestParts): readonly RecordedProvenance[] {
  const { options } = parts;
  if (options.recordProvenance === undefined) return [];
  const facts = factsOf(solved, parts);
  const { builderId = "", reproducible = false } = options.provenance ?? {};
  const how = { mode: "max", version: "v0.2", builderId, reproducible, inlineOnly: false } as const;
  return solved.prepared.conversions.map(({ target, meta, platform }) => {
    const { predicate } = provenance(target, meta, facts, how);
    return {
      platform: formatPlatform(platform),
      predicate: options.recordProvenance === "min" ? withoutSteps(predicate) : predicate,
    };
  });
}

function withoutSteps(predicate: Json): Json {
  if (!isRecord(predicate)) return predicate;
  const { buildConfig: _steps, metadata: _times, ...rest } = predicate;
  return rest;
}

type AttestedParts = AttestParts & Pick<BuildParts, "progress"> & { readonly engine: LookParts };

/** Returns what gives each output its result: the images with the attestations that the output carries. */
export async function withAttestations(
  solved: SolvedBuild,
  parts: AttestedParts,
  signal: AbortSignal,
): Promise<(output: OutputSpec) => Result> {
  const { result } = solved;
  const { options } = parts;
  const outputs = options.outputs ?? [];
  const isProven = outputs.some((output) => carriesProvenance(output, options));
  const isListed = outputs.some((output) => carriesSbom(output, options));
  if (options.provenance !== undefined && !isProven) tellNowhere("provenance", parts);
  if (options.sbom === true && !isListed) tellNowhere("SBOM", parts);
  if (!isProven && !isListed) return () => result;
  const provenances = isProven ? provenancesOf(solved, parts) : [];
  const sboms = isListed ? await sbomsOf(result, parts, signal) : [];
  return (output) => {
    const hasSbom = carriesSbom(output, options);
    const hasProvenance = carriesProvenance(output, options);
    const images = result.images.map((image, index) => {
      const [sbom, proven] = [sboms[index], provenances[index]];
      // In BuildKit's order.
      const attestations = [hasSbom ? (sbom ?? []) : [], hasProvenance ? (proven ?? []) : []].flat();
      return attestations.length === 0 ? image : { ...image, attestations };
    });
    return { ...result, images, attestStyle: options.attestStyle };
  };
}

function tellNowhere(what: string, { progress }: Pick<AttestedParts, "progress">): void {
  progress({
    kind: "notice",
    level: "warning",
    message: `The ${what} goes nowhere: only images that are pushed or written with type=oci have a place for it`,
    hint: "add --push, or -o type=oci,dest=FILE",
  });
}

function provenancesOf(solved: SolvedBuild, parts: AttestParts): readonly (Attestation | undefined)[] {
  const { provenance: wanted } = parts.options;
  if (wanted === undefined) return [];
  const facts = factsOf(solved, parts);
  return solved.result.images.map((_, index) => {
    const conversion = solved.prepared.conversions[index];
    return conversion === undefined ? undefined : provenance(conversion.target, conversion.meta, facts, wanted);
  });
}

/** Lists the packages of the images; the scan is loaded only here. */
async function sbomsOf(
  result: Result,
  { engine, progress }: AttestedParts,
  signal: AbortSignal,
): Promise<readonly Attestation[]> {
  const clock = engine.environment;
  return shownStep("listing packages for the SBOM", { progress, clock }, async () => {
    const { sbomAttestation } = await import("./sbom.ts");
    const made: Attestation[] = [];
    for (const image of result.images) {
      const { attestation, warnings } = await sbomAttestation(result, image, engine, signal);
      made.push(attestation);
      for (const message of warnings) {
        progress({ kind: "notice", level: "warning", message: `SBOM: ${message}`, hint: undefined });
      }
    }
    return made;
  });
}

function factsOf({ prepared, outcomes }: SolvedBuild, { engine, options, reporter }: AttestParts): BuildFacts {
  const { store, environment } = engine;
  const digestOf = (vertex: Vertex): Readonly<Record<string, string>> | undefined => {
    const key = outcomes.get(vertex.digest)?.definitionKey;
    const parts = key === undefined ? undefined : store.records.findByDefinitionKey(key)?.parts;
    const valueOf = (name: string): string | undefined => parts?.find((part) => part.name === name)?.value;
    const commit = valueOf("commit");
    if (vertex.op.kind === "git" && commit !== undefined)
      return commit.length === 64 ? { sha256: commit } : { sha1: commit };
    const content = valueOf("content")?.replace(/^sha256:/, "");
    return content === undefined ? undefined : { sha256: content };
  };
  return {
    id: reporter.about.id,
    startedAtMs: reporter.about.startedAtMs,
    finishedAtMs: environment.nowMs(),
    buildPlatform: environment.platform,
    dockerfile: prepared.dockerfile.source,
    context: options.context,
    contextDigest: prepared.context.digest,
    target: options.target,
    buildArgs: prepared.buildArgs,
    labels: options.labels ?? {},
    noCache: options.noCache === true,
    vcs: prepared.vcs,
    digestOf,
  };
}
