import type { ResourceLimits } from "../ports.ts";
import type { CgroupPlacement } from "./plan.ts";

/** What a cgroup counted while a step ran. */
export interface CgroupUsage {
  readonly peakMemoryBytes: number | undefined;
  readonly oomKilled: boolean;
}

/** One step's cgroups. Disposing removes them; the step must be over. */
export interface StepCgroup extends Disposable {
  readonly placement: CgroupPlacement;
  usage(): CgroupUsage;
}

export interface CgroupOptions {
  readonly cgroupText: string;
  readonly mountInfoText: string;
  readonly instance: string;
  notice(message: string): void;
}

export class Cgroups {
  constructor(_options: CgroupOptions) {}
  enter(_limits: ResourceLimits, _parent: string | undefined): StepCgroup | undefined {
    return undefined;
  }
}
