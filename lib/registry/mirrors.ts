import type { BuildError } from "../core/errors.ts";
import { type Host, hostOf } from "./host.ts";
import type { MirrorRoute, RegistryOptions, Repository } from "./registry.ts";
import { routeOf } from "./routes.ts";

/** The mirrors of registries for one client. A failing mirror is reported once and not asked again. */
export class Mirrors {
  readonly #options: Pick<RegistryOptions, "hosts" | "notice" | "mirrorMemory">;
  /** Reasons for skipping mirrors, by name. */
  readonly #failures = new Map<string, string>();
  /** Names that were looked up in the memory. */
  readonly #recalled = new Set<string>();
  /** Names of mirrors that have had their second chance. */
  readonly #lastAsked = new Set<string>();

  constructor(options: Pick<RegistryOptions, "hosts" | "notice" | "mirrorMemory">) {
    this.#options = options;
  }

  /** Lists the mirrors to ask before the registry itself, in order. */
  of(repository: Repository): readonly Mirror[] {
    return this.#all(repository).filter(({ name }) => this.#failureOf(name) === undefined);
  }

  /**
   * Lists skipped mirrors to ask once more when the registry itself is unreachable: in many networks only a mirror is
   * reachable.
   */
  secondChance(repository: Repository): readonly Mirror[] {
    const mirrors = this.#all(repository).filter(({ name }) => this.#failures.has(name) && !this.#lastAsked.has(name));
    for (const { name } of mirrors) this.#lastAsked.add(name);
    return mirrors;
  }

  /**
   * Skips a mirror from now on.
   * @param memory `brief`: later clients skip it too, for a while.
   */
  giveUp({ name, of }: Mirror, why: string, memory: "none" | "brief"): void {
    if (memory === "brief") this.#options.mirrorMemory?.note(name, why);
    if (this.#failures.has(name)) return;
    this.#failures.set(name, why);
    const { registry } = of;
    const others = this.of(of).length > 0;
    this.#options.notice?.(
      `The mirror ${JSON.stringify(name)} of ${registry} is passed over: ${why}`,
      others ? "the next one is asked instead" : `${registry} itself is asked instead`,
    );
  }

  /** Reinstates a mirror that has answered after all. */
  takeBack({ name }: Mirror): void {
    if (!this.#failures.delete(name)) return;
    this.#lastAsked.delete(name);
    this.#options.mirrorMemory?.forget(name);
  }

  /** Lists failures of a registry's mirrors, for the error when the registry fails too. */
  failuresOf(repository: Repository): string | undefined {
    const lines = routeOf(this.#options.hosts, repository).mirrors.flatMap(({ name }) => {
      const why = this.#failures.get(name);
      return why === undefined ? [] : [`its mirror ${JSON.stringify(name)} failed before: ${why}`];
    });
    return lines.length === 0 ? undefined : lines.join("; ");
  }

  #failureOf(name: string): string | undefined {
    if (!this.#recalled.has(name)) {
      this.#recalled.add(name);
      const why = this.#options.mirrorMemory?.recall(name);
      if (why !== undefined) this.#failures.set(name, why);
    }
    return this.#failures.get(name);
  }

  #all(repository: Repository): readonly Mirror[] {
    const { hosts } = this.#options;
    return routeOf(hosts, repository).mirrors.map(({ name, repository: path, serves }) => ({
      name,
      of: repository,
      serves,
      repository: { registry: name, repository: path },
      host: hostOf(name, hosts?.get(name) ?? {}, "short"),
    }));
  }
}

export interface Mirror {
  /** `host[:port][/prefix]` */
  readonly name: string;
  /** The repository that it mirrors. */
  readonly of: Repository;
  /** The repository's name at the mirror. */
  readonly repository: Repository;
  readonly serves: MirrorRoute["serves"];
  readonly host: Host;
}

/** Returns an error's message without the action that failed, which is reported elsewhere. */
export function reasonOf(error: BuildError): string {
  return error.message.replace(/^Cannot (?:[^":]|"[^"]*")*: /, "");
}
