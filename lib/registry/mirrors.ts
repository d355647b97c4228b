import type { BuildError } from "../core/errors.ts";
import { type Host, hostOf } from "./host.ts";
import type { HostLookup, Notice } from "./registry.ts";

/** The mirrors of registries, as one client finds them: one that fails is told of once and not asked again. */
export class Mirrors {
  readonly #hosts: HostLookup | undefined;
  readonly #notice: Notice | undefined;
  /** Why a mirror is not asked any more, by its name. */
  readonly #failures = new Map<string, string>();

  constructor(hosts: HostLookup | undefined, notice: Notice | undefined) {
    this.#hosts = hosts;
    this.#notice = notice;
  }

  /** Where to ask before the registry itself, in order. */
  of(registry: string): readonly Mirror[] {
    return this.#namesOf(registry).flatMap((name) =>
      this.#failures.has(name) ? [] : [{ name, registry, host: hostOf(name, this.#hosts?.get(name) ?? {}, "short") }],
    );
  }

  /** Passes a mirror over from now on. */
  giveUp({ name, registry }: Mirror, why: string): void {
    if (this.#failures.has(name)) return;
    this.#failures.set(name, why);
    const others = this.of(registry).length > 0;
    this.#notice?.(
      `The mirror ${JSON.stringify(name)} of ${registry} is passed over: ${why}`,
      others ? "the next one is asked instead" : `${registry} itself is asked instead`,
    );
  }

  /** Failures of a registry's mirrors, for the error when the registry fails too. */
  failuresOf(registry: string): string | undefined {
    const lines = this.#namesOf(registry).flatMap((name) => {
      const why = this.#failures.get(name);
      return why === undefined ? [] : [`its mirror ${JSON.stringify(name)} failed before: ${why}`];
    });
    return lines.length === 0 ? undefined : lines.join("; ");
  }

  #namesOf(registry: string): readonly string[] {
    return this.#hosts?.get(registry)?.mirrors ?? [];
  }
}

export interface Mirror {
  /** `host[:port][/prefix]` */
  readonly name: string;
  readonly registry: string;
  readonly host: Host;
}

/** An error's message without what it could not do, which is said elsewhere. */
export function reasonOf(error: BuildError): string {
  return error.message.replace(/^Cannot [^:]*(?::\d[^:]*)*: /, "");
}
