import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { BuildError, errnoOf, messageOf } from "../../lib/core/errors.ts";
import type { ResourceLimits } from "../ports.ts";
import type { Controller, Hierarchy } from "./cgroup-tree.ts";
import { CONTROLLERS, findHierarchies, makeGroup, readWords, removeGroup, removeLeftovers } from "./cgroup-tree.ts";
import type { CgroupPlacement } from "./plan.ts";
import { deviceAllowLines } from "./policy/devices.ts";

/** A cgroup's counts for a step. */
export interface CgroupUsage {
  /** Processor time of every process inside, including those that were never waited for. */
  readonly cpuUs: number | undefined;
  readonly peakMemoryBytes: number | undefined;
  readonly oomKilled: boolean;
}

/** One step's cgroups. Disposing removes them; the step must be over. */
export interface StepCgroup extends Disposable {
  readonly placement: CgroupPlacement;
  usage(): CgroupUsage;
}

export interface CgroupOptions {
  /** Text of /proc/self/mountinfo. */
  readonly mountInfoText: string;
  /** `<pid>-<anything>`, unique to this kiln. */
  readonly instance: string;
  notice(message: string): void;
}

/** One value to set: the controller it needs, and file and text in either version. */
interface Setting {
  readonly controller: Controller;
  readonly v1: readonly [file: string, text: string];
  readonly v2: readonly [file: string, text: string] | undefined;
}

/** Requested limits of a step. */
export interface CgroupWishes {
  readonly limits: ResourceLimits;
  /** `--cgroup-parent`. */
  readonly parent: string | undefined;
  /** `listed`: only the devices of policy/devices.ts. */
  readonly devices: "listed" | "all";
}

/**
 * Puts steps into cgroups of their own: always in the v2 hierarchy, where a process is born in its group and that costs a
 * tenth of a millisecond. On v1 a move makes the kernel wait for every processor, several milliseconds per step, so there
 * only when limits are asked for, or for the devices where there is no v2 hierarchy.
 */
export class Cgroups {
  readonly #options: CgroupOptions;
  readonly #told = new Set<string>();
  readonly #cleaned = new Set<string>();
  readonly #broken = new Set<Hierarchy>();
  #hierarchies: readonly Hierarchy[] | undefined;
  #count = 0;

  constructor(options: CgroupOptions) {
    this.#options = options;
  }

  /**
   * Makes the groups of one step. `undefined` when none are needed or possible; what is asked for and not possible is
   * said once.
   * @throws {BuildError} `runtime/failed` for a value the kernel refuses.
   */
  enter({ limits, parent, devices }: CgroupWishes): StepCgroup | undefined {
    this.#hierarchies ??= findHierarchies(this.#options.mountInfoText).toSorted((a, b) => b.version - a.version);
    const settings = settingsOf(limits);
    const isAsked = settings.length > 0 || parent !== undefined;
    const wanted = new Set<Controller>(settings.map(({ controller }) => controller));
    if (isAsked) wanted.add("memory");
    // Limits of any kind may be set on a parent.
    if (parent !== undefined) for (const controller of CONTROLLERS) wanted.add(controller);
    const names = [...parentNames(parent), `${this.#options.instance}-${this.#count++}`];

    const groups = new Map<Hierarchy, string>();
    let keeper: CgroupPlacement["devices"] = "none";
    for (const hierarchy of this.#hierarchies) {
      const forDevices = devices === "listed" && keeper === "none";
      const holdsDevices = forDevices && hierarchy.controllers.includes("devices");
      const isFree = hierarchy.version === 2;
      const isWanted = hierarchy.controllers.some((one) => wanted.has(one));
      if (!isFree && !holdsDevices && !isWanted) continue;
      const path = this.#make(hierarchy, names, isWanted && !holdsDevices);
      if (path === undefined) continue;
      groups.set(hierarchy, path);
      if (forDevices && isFree) keeper = "filter";
      else if (holdsDevices && limitDevices(path)) keeper = "v1";
    }
    for (const setting of settings) this.#apply(setting, groups);
    return groups.size === 0 ? undefined : stepCgroup(groups, keeper);
  }

  #make(hierarchy: Hierarchy, names: readonly string[], isAsked: boolean): string | undefined {
    if (this.#broken.has(hierarchy)) return undefined;
    try {
      const kept = join(hierarchy.path, ...names.slice(0, -1));
      if (!this.#cleaned.has(kept)) {
        this.#cleaned.add(kept);
        removeLeftovers(kept);
      }
      return makeGroup(hierarchy, names);
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
      this.#broken.add(hierarchy);
      if (isAsked) {
        this.#tell(
          `limits on ${hierarchy.controllers.join(", ")} are not enforced: cannot make a cgroup in ${hierarchy.path} ` +
            `(${messageOf(error)}); start kiln in a delegated group, as with "systemd-run --user --scope -p Delegate=yes kiln ..."`,
        );
      }
      return undefined;
    }
  }

  #apply(setting: Setting, groups: ReadonlyMap<Hierarchy, string>): void {
    const place = [...groups].find(([{ controllers }]) => controllers.includes(setting.controller));
    if (place === undefined) {
      const isMissing =
        this.#hierarchies?.every(({ controllers }) => !controllers.includes(setting.controller)) ?? true;
      if (isMissing) {
        this.#tell(
          `limits on ${setting.controller} are not enforced: this machine has no ${setting.controller} cgroup controller`,
        );
      }
      return;
    }
    const [{ version }, path] = place;
    const value = version === 2 ? setting.v2 : setting.v1;
    if (value === undefined) return;
    const [file, text] = value;
    try {
      writeFileSync(join(path, file), text);
    } catch (error) {
      const code = errnoOf(error);
      // Swap accounting is a kernel option of its own.
      if (code === "ENOENT" || code === "EACCES") {
        this.#tell(`${file} is not enforced: this kernel does not offer it`);
        return;
      }
      for (const group of groups.values()) removeGroup(group);
      throw new BuildError("runtime/failed", `Cannot set ${file} to "${text}": ${messageOf(error)}`, { cause: error });
    }
  }

  #tell(message: string): void {
    if (this.#told.has(message)) return;
    this.#told.add(message);
    this.#options.notice(message);
  }
}

/** False where a group above us does not have all the devices either: what counts is then not known to be kept. */
function limitDevices(path: string): boolean {
  try {
    writeFileSync(join(path, "devices.deny"), "a");
    for (const line of deviceAllowLines()) writeFileSync(join(path, "devices.allow"), line);
    return true;
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return false;
  }
}

function stepCgroup(groups: ReadonlyMap<Hierarchy, string>, devices: CgroupPlacement["devices"]): StepCgroup {
  const paths = [...groups];
  const memory = paths.find(([{ controllers }]) => controllers.includes("memory"));
  // A v2 group counts processor time without any controller.
  const cpu = paths.find(([{ version }]) => version === 2)?.[1];
  return {
    placement: {
      v2: paths.find(([{ version }]) => version === 2)?.[1],
      v1Procs: paths.filter(([{ version }]) => version === 1).map(([, path]) => join(path, "cgroup.procs")),
      showsV2: paths.some(([{ version, controllers }]) => version === 2 && controllers.length > 0),
      devices,
    },
    usage() {
      const cpuUs = cpu === undefined ? undefined : numberIn(join(cpu, "cpu.stat"), "usage_usec");
      if (memory === undefined) return { cpuUs, peakMemoryBytes: undefined, oomKilled: false };
      const [{ version }, path] = memory;
      const peak = Number(readWords(join(path, version === 2 ? "memory.peak" : "memory.max_usage_in_bytes"))[0]);
      const kills = numberIn(join(path, version === 2 ? "memory.events" : "memory.oom_control"), "oom_kill");
      return {
        cpuUs,
        peakMemoryBytes: Number.isFinite(peak) ? peak : undefined,
        oomKilled: kills !== undefined && kills > 0,
      };
    },
    [Symbol.dispose]() {
      for (const [, path] of paths) removeGroup(path);
    },
  };
}

/** The number after a word of a file of the kernel's. */
function numberIn(path: string, name: string): number | undefined {
  const words = readWords(path);
  const index = words.indexOf(name);
  return index === -1 ? undefined : Number(words[index + 1]);
}

/** Groups live in `kiln/` at the top of a hierarchy unless `--cgroup-parent` names another place, which is made if needed. */
function parentNames(parent: string | undefined): string[] {
  if (parent === undefined || parent === "") return ["kiln"];
  const names = parent.split("/").filter((name) => name !== "" && name !== ".");
  if (names.length === 0 || names.includes("..") || parent.includes(":")) {
    throw new BuildError("runtime/unsupported", `Cannot use "${parent}" as the parent cgroup`, {
      hint: "give a path below the top of the cgroup tree, such as /ci/builds; the slice:prefix:name form of systemd is not supported",
    });
  }
  return names;
}

/** The kernel's default period of CPU bandwidth control. */
const DEFAULT_PERIOD_US = 100_000;

function settingsOf(limits: ResourceLimits): Setting[] {
  const { memoryBytes, memorySwapBytes, cpuShares, cpuPeriodUs, cpuQuotaUs, cpusetCpus, cpusetMems } = limits;
  const settings: Setting[] = [];
  const add = (controller: Controller, v1: Setting["v1"], v2: Setting["v2"]): void => {
    settings.push({ controller, v1, v2 });
  };
  if (memoryBytes !== undefined) {
    add("memory", ["memory.limit_in_bytes", `${memoryBytes}`], ["memory.max", `${memoryBytes}`]);
  }
  if (memorySwapBytes !== undefined) {
    // v1 counts memory and swap together, as the option does; v2 counts swap alone.
    const swapAlone = memorySwapBytes < 0 ? "max" : `${Math.max(0, memorySwapBytes - (memoryBytes ?? 0))}`;
    add("memory", ["memory.memsw.limit_in_bytes", `${memorySwapBytes}`], ["memory.swap.max", swapAlone]);
  }
  if (cpuShares !== undefined && cpuShares !== 0) {
    add("cpu", ["cpu.shares", `${cpuShares}`], ["cpu.weight", `${weightOf(cpuShares)}`]);
  }
  if (cpuPeriodUs !== undefined || cpuQuotaUs !== undefined) {
    const quota = cpuQuotaUs === undefined || cpuQuotaUs <= 0 ? "max" : `${cpuQuotaUs}`;
    add(
      "cpu",
      ["cpu.cfs_period_us", `${cpuPeriodUs ?? DEFAULT_PERIOD_US}`],
      ["cpu.max", `${quota} ${cpuPeriodUs ?? DEFAULT_PERIOD_US}`],
    );
    if (cpuQuotaUs !== undefined) add("cpu", ["cpu.cfs_quota_us", `${cpuQuotaUs}`], undefined);
  }
  if (cpusetCpus !== undefined) add("cpuset", ["cpuset.cpus", cpusetCpus], ["cpuset.cpus", cpusetCpus]);
  if (cpusetMems !== undefined) add("cpuset", ["cpuset.mems", cpusetMems], ["cpuset.mems", cpusetMems]);
  return settings;
}

/** Shares (2 to 262144, 1024 is normal) as a v2 weight (1 to 10000, 100 is normal): the linear map container engines use. */
function weightOf(shares: number): number {
  const clamped = Math.min(Math.max(shares, 2), 262_144);
  return 1 + Math.floor(((clamped - 2) * 9999) / 262_142);
}
