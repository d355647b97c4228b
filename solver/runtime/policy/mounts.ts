import { S_IFCHR } from "../../../lib/native/constants.ts";
import type { MountTable } from "../mount-table.ts";
import type { PlanWriter } from "../plan-writer.ts";
import { MOUNT_ATTRIBUTES } from "../plan-writer.ts";
import type { SandboxPart } from "../sandbox-parts.ts";
import { DEVICE_LINKS, DEVICES } from "./paths.ts";

const { readOnly, noSuid, noDev, noExec, strictAtime } = MOUNT_ATTRIBUTES;

/** Choices for the standard mounts. */
export interface SystemMountChoices {
  readonly security: "sandbox" | "insecure";
  /** Flags of mounts that device nodes may be on. */
  readonly deviceAttributes: number;
  /**
   * `mount`: a new sysfs, which the kernel grants to the owner of the network namespace. `bind`: the host's, for a user
   * namespace in the host's network.
   */
  readonly sysfs: "mount" | "bind";
  /** `bind`: the container's own, for where parts of it are hidden and the kernel therefore grants no new one. */
  readonly proc: "mount" | "bind";
  /** File systems that cannot be had here. */
  readonly without: ReadonlySet<SandboxPart>;
  /** The content of /sys/fs/cgroup; `none` leaves it an empty directory. */
  readonly cgroup: "v2" | "none";
  /** True when gid 5 (tty) exists in the user namespace, as the group of terminals. */
  readonly ttyGroup: boolean;
}

/** A node of the host's /dev. */
export interface DeviceNode {
  /** Relative to /dev. */
  readonly name: string;
  /** The mode, type bits included. */
  readonly mode: number;
  /** Device number as in `st_rdev`. */
  readonly device: number;
  readonly uid: number;
  readonly gid: number;
}

/** 64 MiB, what every container engine gives to /dev/shm and /dev. */
const SHM_BYTES = 64 * 1024 * 1024;

/** Directories that `addSystemMounts` covers: nothing below them is ever part of the image. */
export const SYSTEM_DIRECTORIES = ["/proc", "/dev", "/sys"] as const;

/** Adds the mounts that every container has. */
export function addSystemMounts(table: MountTable, plan: PlanWriter, choices: SystemMountChoices): void {
  const sandboxed = choices.security === "sandbox";
  const frozen = sandboxed ? readOnly : 0;
  const filesystem = (type: string, target: string, options: string, attributes: number): void => {
    table.set(target, () => plan.add("filesystem", type, target, options, attributes));
  };

  const procAttributes = noSuid | noDev | noExec;
  if (choices.proc === "mount") filesystem("proc", "/proc", "", procAttributes);
  else table.set("/proc", () => plan.add("bind", "/proc", "/proc", procAttributes, "r"));
  filesystem("tmpfs", "/dev", "mode=755,size=65536k", noSuid | strictAtime | choices.deviceAttributes);
  const terminals = `newinstance,ptmxmode=0666,mode=0620${choices.ttyGroup ? ",gid=5" : ""}`;
  if (!choices.without.has("devpts")) filesystem("devpts", "/dev/pts", terminals, noSuid | noExec);
  filesystem("tmpfs", "/dev/shm", `mode=1777,size=${SHM_BYTES}`, noSuid | noDev | noExec);
  if (!choices.without.has("mqueue")) filesystem("mqueue", "/dev/mqueue", "", noSuid | noDev | noExec);

  const sysAttributes = noSuid | noDev | noExec | frozen;
  if (choices.sysfs === "mount") filesystem("sysfs", "/sys", "", sysAttributes);
  else table.set("/sys", () => plan.add("bind", "/sys", "/sys", sysAttributes, "r"));
  if (choices.cgroup === "v2") filesystem("cgroup2", "/sys/fs/cgroup", "", sysAttributes);
}

/** Facts that decide what is in /dev beside its mounts. */
export interface DeviceChoices {
  /** Flags of mounts that device nodes may be on. */
  readonly attributes: number;
  /** See `HostFacts`. */
  readonly hasKernelCore: boolean;
  /** Further nodes; an insecure step gets all of the host's. */
  readonly extra: readonly DeviceNode[];
}

/** Writes the nodes and links of /dev, which come after all mounts and leave alone what these have put there. */
export function writeDevices(plan: PlanWriter, { attributes, hasKernelCore, extra }: DeviceChoices): void {
  for (const [name, [major, minor]] of Object.entries(DEVICES)) {
    plan.add(
      "device",
      `/dev/${name}`,
      S_IFCHR | 0o666,
      major * 256 + minor,
      0,
      0,
      attributes,
      name === "null" ? "" : "o",
    );
  }
  for (const { name, mode, device, uid, gid } of extra) {
    plan.add("device", `/dev/${name}`, mode, device, uid, gid, attributes, "o");
  }
  for (const [link, text] of DEVICE_LINKS) plan.add("symlink", text, link);
  if (hasKernelCore) plan.add("symlink", "/proc/kcore", "/dev/core");
}
