import { defaultSeccompFilter, type FilterPolicy, type SeccompFilter } from "./policy/seccomp.ts";

/** The filters of sandboxed steps, each compiled when it is first needed. */
export class Filters {
  readonly #arch: string;
  readonly #kind: Pick<FilterPolicy, "ids" | "processes">;
  readonly #made = new Map<string, SeccompFilter | undefined>();

  constructor(arch: string, kind: Pick<FilterPolicy, "ids" | "processes">) {
    this.#arch = arch;
    this.#kind = kind;
  }

  /** @param network `own` for a step that has a network namespace, or was given the machine's with all rights */
  get(network: "own" | "shared" | "watched", owners?: FilterPolicy["owners"]): SeccompFilter | undefined {
    const key = `${network} ${owners?.state}`;
    if (!this.#made.has(key)) this.#made.set(key, this.#make(network, owners));
    return this.#made.get(key);
  }

  #make(network: "own" | "shared" | "watched", owners: FilterPolicy["owners"]): SeccompFilter | undefined {
    return defaultSeccompFilter(this.#arch, {
      calls: "default",
      ...this.#kind,
      ...(network === "own" ? {} : { network }),
      ...(owners === undefined ? {} : { owners }),
    });
  }
}
