import type { ProgressSink } from "../core/progress.ts";
import type { Result } from "../export/exporter.ts";
import type { OutputSpec } from "../export/output-spec.ts";
import type { SolveResult } from "../../solver/deps.ts";
import type { Vertex } from "../../solver/graph/vertex.ts";
import type { Engine } from "./engine.ts";
import type { BuildOptions } from "./options.ts";
import type { PreparedBuild } from "./prepare.ts";
import { provenance } from "./provenance.ts";
import type { BuildReporter } from "./report.ts";

/** Whether an output has a place for what is said of its image: an index that is pushed, or written as an OCI layout. */
export function carriesAttestations(output: OutputSpec, { provenance: wanted }: BuildOptions): boolean {
  if (wanted === undefined) return false;
  return (output.kind === "image" && output.push) || (output.kind === "oci" && !wanted.inlineOnly);
}

/** The result, each image with its provenance where that was asked for. */
export function withProvenance(
  result: Result,
  build: {
    readonly options: BuildOptions;
    readonly prepared: PreparedBuild;
    readonly reporter: BuildReporter;
    readonly solved: SolveResult;
  },
  { store, environment }: Engine,
  progress: ProgressSink,
): Result {
  const { options, prepared, reporter, solved } = build;
  const wanted = options.provenance;
  if (wanted === undefined) return result;
  if (!(options.outputs ?? []).some((output) => carriesAttestations(output, options))) {
    progress({
      kind: "notice",
      level: "warning",
      message: "The provenance goes nowhere: only images that are pushed or written with type=oci have a place for it",
      hint: "add --push, or -o type=oci,dest=FILE",
    });
    return result;
  }
  const digestOf = (vertex: Vertex): Readonly<Record<string, string>> | undefined => {
    const key = solved.outcomes.get(vertex.digest)?.definitionKey;
    const parts = key === undefined ? undefined : store.records.findByDefinitionKey(key)?.parts;
    const valueOf = (name: string): string | undefined => parts?.find((part) => part.name === name)?.value;
    const commit = valueOf("commit");
    if (vertex.op.kind === "git") return commit === undefined ? undefined : { sha1: commit };
    const content = valueOf("content")?.replace(/^sha256:/, "");
    return content === undefined ? undefined : { sha256: content };
  };
  const facts = {
    id: reporter.about.id,
    startedAtMs: reporter.about.startedAtMs,
    finishedAtMs: environment.nowMs(),
    buildPlatform: environment.platform,
    dockerfile: prepared.dockerfile.source,
    context: options.context,
    target: options.target,
    buildArgs: prepared.buildArgs,
    labels: options.labels ?? {},
    noCache: options.noCache === true,
    digestOf,
  };
  const images = result.images.map((image, index) => {
    const conversion = prepared.conversions[index];
    if (conversion === undefined) return image;
    return { ...image, attestations: [provenance(conversion.target, conversion.meta, facts, wanted)] };
  });
  return { ...result, images };
}
