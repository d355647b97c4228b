import type { Digest } from "../../lib/core/digest.ts";
import type { CacheRecord } from "../../lib/store/model.ts";
import type { Records } from "../../lib/store/store.ts";
import type { KeyedVertex } from "../cache/keyed-graph.ts";
import type { RemoteResults } from "../cache/remote/remote-results.ts";
import { isRecorded } from "../graph/op-facts.ts";

/** Limit of depths that are looked up in advance. */
const MAX_AHEAD = 64;

/** Lists the keys of a step's result, best first. */
function keysOf({ definitionKey, strongerKey }: KeyedVertex): readonly Digest[] {
  return strongerKey === undefined || strongerKey === definitionKey ? [definitionKey] : [definitionKey, strongerKey];
}

function optionalPair<K, V>(key: K, value: V | undefined): readonly [K, V][] {
  return value === undefined ? [] : [[key, value]];
}

/** A search for results by definition key: in the store and, for missing ones, in remote caches. */
export class LookUp {
  readonly #records: Pick<Records, "findByDefinitionKeys" | "addAlias">;
  readonly #remote: RemoteResults | undefined;
  readonly #keyed: ReadonlyMap<Digest, KeyedVertex>;
  readonly #asked = new Map<Digest, CacheRecord | undefined>();
  /**
   * Depths below a miss that are looked up along with it. It grows with each depth that misses: a descent through a
   * cold cache then takes a few round trips, and one that hits at once looks nothing up in vain.
   */
  #ahead = 0;

  constructor(
    records: Pick<Records, "findByDefinitionKeys" | "addAlias">,
    remote: RemoteResults | undefined,
    keyed: ReadonlyMap<Digest, KeyedVertex>,
  ) {
    this.#records = records;
    this.#remote = remote;
    this.#keyed = keyed;
  }

  /** Finds results by definition key; steps without a result are left out. */
  async find(steps: readonly KeyedVertex[], signal: AbortSignal): Promise<ReadonlyMap<Digest, CacheRecord>> {
    if (steps.length === 0) return new Map();
    const found = this.#taken(steps, this.#records.findByDefinitionKeys(steps.flatMap(keysOf)));
    if (this.#remote === undefined || found.size === steps.length) return found;
    const missing = steps.filter((step) => !found.has(step.definitionKey));
    await this.#ask(missing, this.#remote, signal);
    return new Map([...found, ...this.#taken(missing, this.#asked)]);
  }

  /** Returns records by the steps' own keys. A record found under another key is added under the step's own. */
  #taken(
    steps: readonly KeyedVertex[],
    from: ReadonlyMap<Digest, CacheRecord | undefined>,
  ): ReadonlyMap<Digest, CacheRecord> {
    const found = new Map<Digest, CacheRecord>();
    for (const step of steps) {
      const { definitionKey } = step;
      const [key, record] = keysOf(step).flatMap((one) => optionalPair(one, from.get(one)))[0] ?? [];
      if (record === undefined) continue;
      if (key !== definitionKey) this.#records.addAlias(record.id, definitionKey);
      found.set(definitionKey, record);
    }
    return found;
  }

  async #ask(missing: readonly KeyedVertex[], remote: RemoteResults, signal: AbortSignal): Promise<void> {
    if (missing.every((step) => keysOf(step).every((key) => this.#asked.has(key)))) return;
    const keys = this.#withBelow(missing);
    const found = await remote.findByDefinitionKeys(keys, signal);
    for (const key of keys) this.#asked.set(key, found.get(key));
    if (missing.some((step) => !keysOf(step).some((key) => found.has(key)))) {
      this.#ahead = Math.min(MAX_AHEAD, this.#ahead * 2 + 1);
    }
  }

  /**
   * Lists the keys of these steps and of those up to `#ahead` depths below, without keys that were looked up or are
   * present.
   */
  #withBelow(steps: readonly KeyedVertex[]): readonly Digest[] {
    const below = new Set<Digest>();
    let frontier = steps;
    for (let depth = 0; depth < this.#ahead && frontier.length > 0; depth += 1) {
      const inputs = new Map(frontier.flatMap(({ vertex }) => vertex.inputs.map((input) => [input.digest, input])));
      frontier = [...inputs.keys()].flatMap((digest) => this.#keyed.get(digest) ?? []);
      for (const step of frontier) {
        if (isRecorded(step.vertex.op) && step.meta.cache === "use") for (const key of keysOf(step)) below.add(key);
      }
    }
    const here = this.#records.findByDefinitionKeys([...below]);
    const wanted = [...new Set(steps.flatMap(keysOf)), ...[...below].filter((key) => !here.has(key))];
    return [...new Set(wanted)].filter((key) => !this.#asked.has(key));
  }
}
