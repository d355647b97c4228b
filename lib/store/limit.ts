import { statfsSync } from "node:fs";
import { isRecord, parseJson } from "../core/json.ts";
import { measureFiles } from "./measure.ts";
import type { OpenStore } from "./open-store.ts";
import { prune, type PruneResult } from "./prune.ts";

/** Default limit: this share of the store's size plus the free space beside it. */
const DEFAULT_SHARE = 0.75;
/** A collection continues to this share of the limit, so that not every build has to collect. */
const COLLECTED_SHARE = 0.9;
/** Growth of the store after an incomplete collection that allows the next attempt. */
const RETRY_GROWTH = 1.05;

const FACT = { kind: "size", key: "last" } as const;

/** The last measurement: it bounds the size of the store without a look at its files. Bytes. */
type Measured = {
  readonly total: number;
  /** Free space on the file system at that time. */
  readonly free: number;
  /** True right after a collection: all remaining items were needed then. */
  readonly collected: boolean;
};

export interface KeepOptions {
  /** Absent: a share of the store's size plus the free space beside it. */
  readonly limitBytes: number | undefined;
  /** Returns the free space on a path's file system; absent: the system's answer. */
  readonly freeBytes?: (path: string) => number;
}

/**
 * Collects the least valuable items when the store is larger than `limitBytes`. Cheap when it is not: the store cannot
 * have grown by more than the free space has shrunk since the last measurement, and it is measured only when that could
 * be too much. Safe beside running builds; one process at a time collects, for all.
 * @returns `undefined` when nothing had to go
 */
export async function keepWithinLimit(
  store: OpenStore,
  { limitBytes, freeBytes = freeBytesOn }: KeepOptions,
  signal: AbortSignal,
): Promise<(PruneResult & { readonly limitBytes: number }) | undefined> {
  const free = freeBytes(store.root);
  const last = lastMeasured(store);
  if (last !== undefined) {
    const atMost = last.total + Math.max(0, last.free - free);
    const allowed = limitBytes ?? DEFAULT_SHARE * (atMost + free);
    if (atMost <= Math.max(allowed, last.collected ? last.total * RETRY_GROWTH : 0)) return undefined;
  }
  using lease = store.leases.tryAcquire("collection");
  if (lease === undefined) return undefined;
  const measured = await measureFiles(store, signal);
  const limit = limitBytes ?? DEFAULT_SHARE * (measured.totalBytes + free);
  if (measured.totalBytes <= limit) {
    remember(store, { total: measured.totalBytes, free, collected: false });
    return undefined;
  }
  const result = await prune(store, { keepBytes: Math.max(1, limit * COLLECTED_SHARE), measured }, signal);
  remember(store, { total: result.totalBytes - result.freedBytes, free: freeBytes(store.root), collected: true });
  return { ...result, limitBytes: limit };
}

function freeBytesOn(root: string): number {
  const { bavail, bsize } = statfsSync(root);
  return bavail * bsize;
}

function lastMeasured(store: OpenStore): Measured | undefined {
  const fact = store.facts.get(FACT.kind, FACT.key);
  const value = fact === undefined ? undefined : parseJson(new TextDecoder().decode(fact.value));
  if (!isRecord(value)) return undefined;
  const { total, free, collected } = value;
  if (typeof total !== "number" || typeof free !== "number") return undefined;
  return { total, free, collected: collected === true };
}

function remember(store: OpenStore, measured: Measured): void {
  store.facts.set(FACT.kind, FACT.key, { value: new TextEncoder().encode(JSON.stringify(measured)) });
}
