import { defaultSeccompFilter, type FilterPolicy, type SeccompFilter } from "./policy/seccomp.ts";

/** The filters of sandboxed steps of which calls are noted or answered, each compiled when it is first needed. */
export class Filters {
  readonly #arch: string;
  readonly #ids: FilterPolicy["ids"];
  readonly #made = new Map<string, SeccompFilter | undefined>();

  constructor(arch: string, ids: FilterPolicy["ids"]) {
    this.#arch = arch;
    this.#ids = ids;
  }

  get(watchesNetwork: boolean, owners: FilterPolicy["owners"]): SeccompFilter | undefined {
    const key = `${watchesNetwork} ${owners?.state}`;
    if (!this.#made.has(key)) this.#made.set(key, this.#make(watchesNetwork, owners));
    return this.#made.get(key);
  }

  #make(watchesNetwork: boolean, owners: FilterPolicy["owners"]): SeccompFilter | undefined {
    return defaultSeccompFilter(this.#arch, {
      calls: "default",
      ids: this.#ids,
      ...(watchesNetwork ? { network: "watched" } : {}),
      ...(owners === undefined ? {} : { owners }),
    });
  }
}
