import type { Digest } from "../../lib/core/digest.ts";
import type { CacheRecord, KeyPart } from "../../lib/store/model.ts";
import { sameWork } from "../cache/key.ts";
import type { KeyedVertex } from "../cache/keyed-graph.ts";
import { copyPart } from "../cache/uses.ts";
import type { SolverDeps } from "../deps.ts";
import { EarlierResult, isSharable } from "../ops/file/earlier-copy.ts";
import type { Stack } from "../ports.ts";
import type { Selection } from "../select/select.ts";
import { distinct } from "./layers.ts";

type Deps = Pick<SolverDeps, "native" | "snapshotter" | "store">;

/**
 * Finds a result of the same copy with mostly the same files.
 * @param copy `selection`: its present files. `parts`: those of its key.
 */
export function earlierCopy(
  { vertex, meta }: KeyedVertex,
  copy: { readonly selection: Selection | undefined; readonly parts: readonly KeyPart[] },
  earlier: readonly CacheRecord[],
  readListing: (digest: Digest) => string | undefined,
  { native, snapshotter, store }: Deps,
): EarlierResult | undefined {
  const { op } = vertex;
  const { selection } = copy;
  const files = copyPart(0);
  // A step that skips the cache makes all files again, from the originals.
  if (meta.cache === "skip" || op.kind !== "file") return undefined;
  if (selection === undefined || !isSharable(op, selection)) return undefined;
  const others = (all: readonly KeyPart[]): readonly KeyPart[] => all.filter((part) => part.name !== files);
  for (const { id, parts } of earlier) {
    if (!sameWork(others(parts), others(copy.parts))) continue;
    // Fetched by id, so that the store holds its layers from now on.
    const record = store.records.get(id);
    const kept = parts.find((part) => part.name === files && part.listing !== undefined)?.listing;
    const listing = kept === undefined ? undefined : readListing(kept);
    if (record === undefined || listing === undefined || !isPresent(record.layers, store)) continue;
    const directories = distinct(record.layers)
      .toReversed()
      .map((layer) => snapshotter.pathOf(layer));
    return new EarlierResult({ native, marks: snapshotter.marks, directories, op, listing, selection });
  }
  return undefined;
}

/** Finds the tar of an earlier result's layer, if there is one. Digests tell which parts are the same. */
export function earlierTar(
  { meta }: KeyedVertex,
  earlier: readonly CacheRecord[],
  { blobs, snapshots }: Deps["store"],
): string | undefined {
  // A step that skips the cache reads all files again.
  if (meta.cache === "skip") return undefined;
  for (const { layers } of earlier) {
    const top = layers.at(-1);
    const diffId = top === undefined ? undefined : snapshots.get(top)?.diffId;
    if (diffId !== undefined && blobs.has(diffId)) return blobs.pathOf(diffId);
  }
  return undefined;
}

/** Tells whether all files are present: the record of another machine's result does not imply that. */
function isPresent(layers: Stack, store: Pick<SolverDeps["store"], "snapshots">): boolean {
  return store.snapshots.getMany([...new Set(layers)]).every((row) => row.state === "present");
}
