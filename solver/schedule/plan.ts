import { debug } from "../../lib/core/debug.ts";
import type { Digest } from "../../lib/core/digest.ts";
import type { CacheRecord } from "../../lib/store/model.ts";
import type { Records } from "../../lib/store/store.ts";
import type { KeyedVertex } from "../cache/keyed-graph.ts";
import type { Op } from "../graph/op.ts";
import { isRecorded, type RecordedOp } from "../graph/op-facts.ts";
import type { Vertex } from "../graph/vertex.ts";
import type { LookUp } from "./look-up.ts";
import type { Work } from "./run-in-order.ts";

/** The work to settle a vertex with a needed result. `derived`: its layers follow from its inputs'. */
export type Planned = Work & { readonly keyed: KeyedVertex } & (
    | { readonly kind: "hit"; readonly record: CacheRecord }
    | { readonly kind: "derived" }
    | {
        readonly kind: "miss";
        /** Records of the same stage and instruction, newest first. */
        readonly earlier: readonly CacheRecord[];
        /** Longest time from here to a target, judged by earlier runs: the longest goes first. */
        priority: number;
        /** True when a step below skips the cache: an equal definition then does not imply equal inputs. */
        readonly afterSkipped: boolean;
        /** True when another step that will run may read the files that this one makes. */
        isRead: boolean;
      }
  );

export type PlannedMiss = Extract<Planned, { readonly kind: "miss" }>;

/** Limit of earlier records for explaining a miss and for equal results. */
export const EARLIER_RECORDS = 8;
/**
 * Limit of records to search when the recent ones are of other projects, or not equal: none of their layers is read.
 */
export const OLDER_RECORDS = 200;
/** Assumed time of a step without a record. */
const UNKNOWN_MS: Readonly<Record<RecordedOp["kind"], number>> = { exec: 5000, git: 2000, http: 1000, file: 50 };

/** Names of the parts only: their values may hold what a build argument says. */
function describeLookUp({ meta, definitionKey, parts }: KeyedVertex, record: CacheRecord | undefined): string {
  if (record !== undefined) return `hit ${meta.name} ${definitionKey}: record ${record.id}`;
  return `miss ${meta.name} ${definitionKey}: key of ${parts.map(({ name }) => name.split("=", 1)[0]).join(", ")}`;
}

/**
 * Descends from the targets by need: a hit stops the descent, a miss needs its inputs. There is one look-up for each
 * depth that misses, and none below a hit.
 */
export async function planByNeed(
  targets: readonly Vertex[],
  keyed: ReadonlyMap<Digest, KeyedVertex>,
  deps: {
    readonly lookUp: LookUp;
    readonly records: Pick<Records, "latestBySite">;
    /** True when the files of the targets will be read, like the inputs of steps. */
    readonly resultIsRead: boolean;
  },
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Planned>> {
  const planned = new Map<string, Planned>();
  const skipped = skippedAndAbove(keyed);
  let frontier: readonly Vertex[] = targets;
  while (frontier.length > 0) {
    const wanted = new Map<Digest, KeyedVertex>();
    for (const vertex of frontier) {
      const key = keyed.get(vertex.digest);
      // A local directory has no result of its own: the steps that use it select its files.
      if (key !== undefined && vertex.op.kind !== "local" && !planned.has(vertex.digest))
        wanted.set(vertex.digest, key);
    }
    const keys = [...wanted.values()].filter(({ vertex }) => isRecorded(vertex.op) && !skipped.has(vertex.digest));
    const found = await deps.lookUp.find(keys, signal);
    const next: Vertex[] = [];
    for (const [id, key] of wanted) {
      const { vertex } = key;
      const needs = vertex.inputs.map((input) => input.digest);
      const record = found.get(key.definitionKey);
      if (isRecorded(vertex.op)) debug("cache", () => describeLookUp(key, record));
      if (record !== undefined) {
        planned.set(id, { id, needs: [], keyed: key, kind: "hit", record });
        continue;
      }
      if (isRecorded(vertex.op)) {
        const earlier = deps.records.latestBySite(key.site, EARLIER_RECORDS);
        const afterSkipped = skipped.has(id);
        planned.set(id, { id, needs, keyed: key, kind: "miss", earlier, priority: 0, afterSkipped, isRead: false });
      } else {
        planned.set(id, { id, needs, keyed: key, kind: "derived" });
      }
      next.push(...vertex.inputs);
    }
    frontier = next;
  }
  prioritize(planned, keyed);
  noteRead(planned, deps.resultIsRead ? targets.map(({ digest }) => digest) : []);
  return planned;
}

/**
 * Marks the work that other steps read, and the given ids. Merges and differences stand for the files of their inputs.
 */
function noteRead(planned: ReadonlyMap<string, Planned>, others: readonly string[]): void {
  const steps = [...planned.values()].filter(({ kind }) => kind === "miss");
  const read = [...others, ...steps.flatMap(({ needs }) => needs)];
  const seen = new Set<string>();
  for (let id = read.pop(); id !== undefined; id = read.pop()) {
    const work = seen.has(id) ? undefined : planned.get(id);
    seen.add(id);
    if (work?.kind === "miss") work.isRead = true;
    if (work?.kind === "derived") read.push(...work.needs);
  }
}

/** Collects the vertices that skip the cache, and all that use them: their old results may be of other inputs. */
function skippedAndAbove(inputsFirst: ReadonlyMap<Digest, KeyedVertex>): ReadonlySet<Digest> {
  const found = new Set<Digest>();
  for (const [digest, { vertex, meta }] of inputsFirst) {
    if (meta.cache === "skip" || vertex.inputs.some((input) => found.has(input.digest))) found.add(digest);
  }
  return found;
}

/** Computes priorities, users before inputs, so that each knows the longest way after it. */
function prioritize(planned: ReadonlyMap<string, Planned>, inputsFirst: ReadonlyMap<Digest, KeyedVertex>): void {
  const behind = new Map<string, number>();
  for (const id of [...inputsFirst.keys()].toReversed()) {
    const work = planned.get(id);
    if (work === undefined) continue;
    let way = behind.get(id) ?? 0;
    if (work.kind === "miss") {
      way += work.earlier[0]?.wallMs ?? unknownMs(work.keyed.vertex.op);
      work.priority = way;
    }
    for (const need of work.needs) behind.set(need, Math.max(behind.get(need) ?? 0, way));
  }
}

function unknownMs(op: Op): number {
  return isRecorded(op) ? UNKNOWN_MS[op.kind] : 0;
}
