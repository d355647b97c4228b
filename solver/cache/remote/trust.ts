import { createHash, type KeyObject } from "node:crypto";
import type { CacheRecord } from "../../../lib/store/model.ts";
import type { Records, Store } from "../../../lib/store/store.ts";

const KIND = "signed-record";

/** Records that a record's entry has been checked against these keys. */
export function noteSigned(recordId: string, keys: readonly KeyObject[], store: Pick<Store, "facts">): void {
  store.facts.set(KIND, recordId, { value: Buffer.from(fingerprint(keys)) });
}

/** Gives a record the same trust as the one it was made from. */
export function noteSameTrust(ofId: string, recordId: string, store: Pick<Store, "facts">): void {
  const fact = store.facts.get(KIND, ofId);
  if (fact !== undefined) store.facts.set(KIND, recordId, { value: fact.value });
}

/**
 * Restricts a store's records to those made here or found signed by these very keys: a result that an earlier build
 * accepted on less trust does not exist for this one.
 */
export function trustedRecords(store: Pick<Store, "records" | "facts">, keys: readonly KeyObject[]): Records {
  const { records } = store;
  const wanted = fingerprint(keys);
  const counts = (record: CacheRecord): boolean => {
    if (record.producer === "local") return true;
    const fact = store.facts.get(KIND, record.id);
    return fact !== undefined && Buffer.from(fact.value).toString() === wanted;
  };
  const trusted = (record: CacheRecord | undefined): CacheRecord | undefined =>
    record !== undefined && counts(record) ? record : undefined;
  return {
    findByDefinitionKeys: (wantedKeys) =>
      new Map([...records.findByDefinitionKeys(wantedKeys)].filter(([, record]) => counts(record))),
    findByDefinitionKey: (key) => trusted(records.findByDefinitionKey(key)),
    findByContentKey: (key) => trusted(records.findByContentKey(key)),
    get: (id) => trusted(records.get(id)),
    latestBySite: (site, count) => records.latestBySite(site, count).filter(counts),
    latestBySitePrefix: (prefix, count) => records.latestBySitePrefix(prefix, count).filter(counts),
    list: () => [...records.list()].filter(counts),
    insert: (record, at) => records.insert(record, at),
    forgetLayer: (snapshot) => records.forgetLayer(snapshot),
    addAlias: (recordId, key) => records.addAlias(recordId, key),
    touch: (ids) => records.touch(ids),
    wasPruned: (key) => records.wasPruned(key),
  };
}

/** Computes a name for a set of keys, whatever their order. */
function fingerprint(keys: readonly KeyObject[]): string {
  const all = keys.map((key) => key.export({ type: "spki", format: "der" }).toString("hex"));
  return createHash("sha256").update(all.toSorted().join("\n")).digest("hex");
}
