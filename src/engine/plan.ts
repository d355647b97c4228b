import type { Digest } from "../../lib/core/digest.ts";
import type { PlannedStep, ProgressEvent } from "../../lib/core/progress.ts";
import type { Graph } from "../../solver/graph/graph.ts";
import { isShownWhenCached } from "../../solver/graph/op-facts.ts";
import { inputsFirst } from "../../solver/graph/order.ts";
import type { Vertex } from "../../solver/graph/vertex.ts";
import type { OutputSpec } from "../export/output-spec.ts";
import type { BuildOptions } from "./options.ts";

/** Lists what a build will show, before it begins: its steps in the order of the Dockerfile, and its results. */
export function planOf(
  graph: Graph,
  about: {
    readonly id: string;
    readonly outputs: readonly OutputSpec[];
    readonly options: Pick<BuildOptions, "cache">;
    readonly atMs: number;
  },
): ProgressEvent & { readonly kind: "plan" } {
  const needed = new Map(inputsFirst(graph.targets).map((vertex) => [vertex.digest, vertex]));
  const shown = new Map<Digest, Vertex>();
  for (const digest of graph.meta.keys()) {
    const vertex = needed.get(digest);
    if (vertex !== undefined && isShownWhenCached(vertex.op)) shown.set(digest, vertex);
  }
  const steps = [...shown].map(([digest, vertex]): PlannedStep => {
    const { name = "", stage } = graph.meta.get(digest) ?? {};
    return { id: digest, name, ...(stage === undefined ? {} : { stage }), inputs: shownInputs(vertex, shown) };
  });
  const caches = about.options.cache?.to ?? [];
  const outputs =
    about.outputs.filter(writesResult).length + caches.filter(({ place }) => place.kind !== "inline").length;
  return { kind: "plan", id: about.id, steps, outputs, atMs: about.atMs };
}

/** Lists the nearest shown inputs: hidden work stands for its own inputs. */
function shownInputs(vertex: Vertex, shown: ReadonlyMap<Digest, Vertex>): readonly Digest[] {
  const found = new Set<Digest>();
  const left = [...vertex.inputs];
  const seen = new Set<Digest>();
  for (let input = left.pop(); input !== undefined; input = left.pop()) {
    if (seen.has(input.digest)) continue;
    seen.add(input.digest);
    if (shown.has(input.digest)) found.add(input.digest);
    else left.push(...input.inputs);
  }
  return [...found];
}

function writesResult(output: OutputSpec): boolean {
  return output.kind !== "cacheonly" && (output.kind !== "image" || output.push || output.store);
}
