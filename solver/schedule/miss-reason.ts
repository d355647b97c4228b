import { BuildError } from "../../lib/core/errors.ts";
import type { CacheRecord, KeyPart } from "../../lib/store/model.ts";
import { explainMiss, type MissReason, nearestOf } from "../cache/explain.ts";
import type { KeyedVertex } from "../cache/keyed-graph.ts";
import type { Listings } from "../cache/listings.ts";
import { missText } from "../cache/reason-text.ts";
import type { Digest } from "../../lib/core/digest.ts";
import type { SolveOptions, SolverDeps } from "../deps.ts";
import { comparable, explainingNotes, reworded } from "./comparable.ts";

interface MissDeps {
  readonly solver: Pick<SolverDeps, "store" | "remote">;
  readonly options: SolveOptions;
  readonly keyed: ReadonlyMap<Digest, KeyedVertex>;
}

/** Finds the reason for a miss and reports it. */
export async function missReason(
  step: { readonly keyed: KeyedVertex; readonly parts: readonly KeyPart[]; readonly earlier: readonly CacheRecord[] },
  listings: Listings,
  { solver, options, keyed }: MissDeps,
  signal: AbortSignal,
): Promise<MissReason> {
  const earlier = comparable(step.keyed, step.earlier, solver.store.records, options.lineage);
  const wanted = nearestOf(step.parts, earlier)?.parts.flatMap(({ listing }) => listing ?? []);
  if (wanted !== undefined) await solver.remote?.fetchListings(wanted, signal);
  const parts = [...step.parts, ...explainingNotes(step.keyed, keyed, options.lineage)];
  const miss = reasonAgainst(earlier, { keyed: step.keyed, parts }, listings, { solver, options, keyed });
  options.onMiss?.(step.keyed.vertex.digest, miss);
  return miss;
}

function reasonAgainst(
  earlier: readonly CacheRecord[],
  step: { readonly keyed: KeyedVertex; readonly parts: readonly KeyPart[] },
  listings: Listings,
  { solver, options, keyed }: MissDeps,
): MissReason {
  const { meta, vertex, uses, definitionKey } = step.keyed;
  if (meta.cache === "skip") return { kind: "no-cache" };
  const miss = explainMiss(step.parts, earlier, {
    wasPruned: solver.store.records.wasPruned(definitionKey),
    stepOf: (name) => {
      const use = uses.find((one) => one.part === name);
      const input = use === undefined ? undefined : vertex.inputs[use.input];
      return (input === undefined ? undefined : keyed.get(input.digest)?.meta.instruction) ?? name;
    },
    readListing: (digest) => listings.read(digest),
  });
  if (miss.kind !== "never-built") return miss;
  const change = reworded(step.keyed, keyed, solver.store.records, options.lineage);
  return change === undefined ? miss : { kind: "changed", changes: [change] };
}

/**
 * Refuses to run a step that was expected to be cached.
 * @throws {BuildError} `build/unexpected-miss`
 */
export function refuseUnexpected(
  miss: MissReason,
  { meta }: KeyedVertex,
  { expectCached }: Pick<SolveOptions, "expectCached">,
): void {
  if (expectCached === undefined) return;
  if (expectCached !== "all" && (meta.stage === undefined || !expectCached.has(meta.stage))) return;
  const message = `Cannot take a step from the cache: ${missText(miss)}: ${meta.instruction}`;
  throw new BuildError("build/unexpected-miss", message, {
    span: meta.span,
    hint: "the build was started with --expect-cached; without it this step would run",
  });
}
