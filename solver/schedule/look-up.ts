import type { Digest } from "../../src/core/digest.ts";
import type { CacheRecord } from "../../src/store/model.ts";
import type { Records } from "../../src/store/store.ts";
import type { KeyedVertex } from "../cache/keyed-graph.ts";
import type { RemoteResults } from "../cache/remote/remote-results.ts";
import { isRecorded } from "./layers.ts";

/** Most depths that are asked for before anybody knows whether they are needed. */
const MAX_AHEAD = 64;

/** Finds results by definition key: in the store and, for those it lacks, in remote caches. */
export class LookUp {
  readonly #records: Pick<Records, "findByDefinitionKeys">;
  readonly #remote: RemoteResults | undefined;
  readonly #keyed: ReadonlyMap<Digest, KeyedVertex>;
  readonly #asked = new Map<Digest, CacheRecord | undefined>();
  /**
   * Depths below a miss that are asked for along with it. Grows with each depth that misses: a descent through a cold
   * cache then takes a few round trips, and one that hits at once asks for nothing in vain.
   */
  #ahead = 0;

  constructor(
    records: Pick<Records, "findByDefinitionKeys">,
    remote: RemoteResults | undefined,
    keyed: ReadonlyMap<Digest, KeyedVertex>,
  ) {
    this.#records = records;
    this.#remote = remote;
    this.#keyed = keyed;
  }

  /** By definition key; steps without a result are left out. */
  async find(steps: readonly KeyedVertex[], signal: AbortSignal): Promise<ReadonlyMap<Digest, CacheRecord>> {
    if (steps.length === 0) return new Map();
    const here = this.#records.findByDefinitionKeys(steps.map((step) => step.definitionKey));
    if (this.#remote === undefined || here.size === steps.length) return here;
    const missing = steps.filter((step) => !here.has(step.definitionKey));
    await this.#ask(missing, this.#remote, signal);
    const found = new Map(here);
    for (const { definitionKey } of missing) {
      const record = this.#asked.get(definitionKey);
      if (record !== undefined) found.set(definitionKey, record);
    }
    return found;
  }

  async #ask(missing: readonly KeyedVertex[], remote: RemoteResults, signal: AbortSignal): Promise<void> {
    if (missing.every((step) => this.#asked.has(step.definitionKey))) return;
    const keys = this.#withBelow(missing);
    const found = await remote.findByDefinitionKeys(keys, signal);
    for (const key of keys) this.#asked.set(key, found.get(key));
    if (missing.some((step) => !found.has(step.definitionKey))) {
      this.#ahead = Math.min(MAX_AHEAD, this.#ahead * 2 + 1);
    }
  }

  /** The keys of these steps and of those up to `#ahead` depths below, without what has been asked or is here. */
  #withBelow(steps: readonly KeyedVertex[]): readonly Digest[] {
    const below = new Set<Digest>();
    let frontier = steps;
    for (let depth = 0; depth < this.#ahead && frontier.length > 0; depth += 1) {
      const inputs = new Map(frontier.flatMap(({ vertex }) => vertex.inputs.map((input) => [input.digest, input])));
      frontier = [...inputs.keys()].flatMap((digest) => this.#keyed.get(digest) ?? []);
      for (const { vertex, meta, definitionKey } of frontier) {
        if (isRecorded(vertex) && meta.cache === "use") below.add(definitionKey);
      }
    }
    const here = this.#records.findByDefinitionKeys([...below]);
    const wanted = [...new Set(steps.map((step) => step.definitionKey)), ...[...below].filter((key) => !here.has(key))];
    return [...new Set(wanted)].filter((key) => !this.#asked.has(key));
  }
}
