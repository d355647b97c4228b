import type { Digest } from "../../lib/core/digest.ts";
import type { CacheRecord, KeyPart } from "../../lib/store/model.ts";
import type { Records } from "../../lib/store/store.ts";
import { type FileSource, sourceNote, textChange } from "../cache/explain.ts";
import type { KeyedVertex } from "../cache/keyed-graph.ts";
import { unreachable } from "../../lib/core/errors.ts";
import type { Vertex } from "../graph/vertex.ts";
import { EARLIER_RECORDS, OLDER_RECORDS } from "./plan.ts";

const LINEAGE = "lineage";

/**
 * Makes the notes of a record that only explanations read: its builds, and the sources of its files.
 * @param lineage names of the build, see `SolveOptions`
 */
export function explainingNotes(
  { vertex, uses }: KeyedVertex,
  keyed: ReadonlyMap<Digest, KeyedVertex>,
  lineage: readonly string[] | undefined,
): readonly KeyPart[] {
  const sources = uses.flatMap((use) => {
    const input = use.kind === "copy" || use.kind === "path" ? vertex.inputs[use.input] : undefined;
    return input === undefined ? [] : [sourceNote(use.part, sourceOf(input, keyed))];
  });
  if (lineage === undefined) return sources;
  return [...sources, { name: LINEAGE, value: lineage.join("\n"), basis: "note" }];
}

function sourceOf({ op, digest }: Vertex, keyed: ReadonlyMap<Digest, KeyedVertex>): FileSource {
  switch (op.kind) {
    case "local":
      return { kind: "local", state: "" };
    case "image":
      return { kind: "image", state: op.ref };
    case "git":
    case "http": {
      const state = keyed.get(digest)?.found?.parts.find(({ name }) => name === "commit" || name === "content");
      return { kind: op.kind, state: state?.value ?? "" };
    }
    case "exec":
    case "file":
    case "merge":
    case "diff":
      return { kind: "stage", state: "" };
    default:
      return unreachable(op);
  }
}

/**
 * Chooses the records that explain a miss: those of the same instruction in the same project. Files of another project
 * are no reason, even with the same instruction.
 * @param earlier the last ones of the same instruction, whatever their project
 */
export function comparable(
  step: KeyedVertex,
  earlier: readonly CacheRecord[],
  records: Pick<Records, "latestBySite">,
  lineage: readonly string[] | undefined,
): readonly CacheRecord[] {
  const own = earlier.filter(({ parts }) => isOfLineage(parts, lineage));
  if (own.length > 0 || earlier.length < EARLIER_RECORDS) return own;
  return records.latestBySite(step.site, OLDER_RECORDS).filter(({ parts }) => isOfLineage(parts, lineage));
}

/** Limit of look-ups: each reads all records of its kind of instruction, which takes minutes in a file of thousands. */
const MAX_REWORDED = 100;

/** The instructions of a build, and the number of those looked up, by its graph. */
const lookedUp = new WeakMap<object, { readonly sites: ReadonlySet<string>; count: number }>();

/**
 * Finds the last record of an instruction at the place of this one that differs in some words. Only the first hundred
 * of a build are looked up.
 */
export function reworded(
  step: { readonly site: string; readonly meta: Pick<KeyedVertex["meta"], "instruction"> },
  keyed: ReadonlyMap<Digest, Pick<KeyedVertex, "site">>,
  records: Pick<Records, "latestBySitePrefix">,
  lineage: readonly string[] | undefined,
): ReturnType<typeof textChange> {
  let build = lookedUp.get(keyed);
  if (build === undefined) {
    build = { sites: new Set([...keyed.values()].map(({ site }) => site)), count: 0 };
    lookedUp.set(keyed, build);
  }
  build.count += 1;
  if (build.count > MAX_REWORDED) return undefined;
  const { instruction } = step.meta;
  const before = step.site.slice(0, step.site.length - instruction.length);
  const [keyword = ""] = instruction.split(" ", 1);
  for (const { site, parts } of records.latestBySitePrefix(`${before}${keyword} `, OLDER_RECORDS)) {
    // An instruction that still exists is not an earlier version of this one.
    if (build.sites.has(site) || !isOfLineage(parts, lineage)) continue;
    const change = textChange(site.slice(before.length), instruction);
    if (change !== undefined) return change;
  }
  return undefined;
}

function isOfLineage(parts: readonly KeyPart[], lineage: readonly string[] | undefined): boolean {
  if (lineage === undefined) return true;
  const theirs = parts.find(({ name, basis }) => name === LINEAGE && basis === "note")?.value.split("\n") ?? [];
  return lineage.some((name) => theirs.includes(name));
}
