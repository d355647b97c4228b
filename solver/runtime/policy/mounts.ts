import type { PlanWriter } from "../plan-writer.ts";
import { MOUNT_ATTRIBUTES } from "../plan-writer.ts";
import { DEVICE_LINKS, DEVICES } from "./paths.ts";

const { readOnly, noSuid, noDev, noExec, strictAtime } = MOUNT_ATTRIBUTES;

/** What decides how the standard mounts look. */
export interface SystemMountChoices {
  readonly security: "sandbox" | "insecure";
  readonly shmSizeBytes: number | undefined;
  /** Flags of mounts that device nodes may be on. */
  readonly deviceAttributes: number;
  /**
   * `mount`: a new sysfs, which the kernel grants to whoever owns the network namespace. `bind`: the host's, for a
   * user namespace in the host's network.
   */
  readonly sysfs: "mount" | "bind";
  /** What appears at /sys/fs/cgroup; `none` leaves it an empty directory. */
  readonly cgroup: "v2" | "none";
  /** Whether gid 5 (tty) exists in the user namespace, for terminals to belong to. */
  readonly ttyGroup: boolean;
  /** Whether this kernel has /proc/kcore, which /dev/core then leads to (and which is hidden). */
  readonly hasKernelCore: boolean;
  /** Further nodes of the host's /dev, names relative to it; an insecure step gets all of them. */
  readonly extraDevices: readonly string[];
}

/** 64 MiB, what every container engine gives to /dev/shm and /dev. */
const DEFAULT_SHM_BYTES = 64 * 1024 * 1024;

/** Directories that `writeSystemMounts` covers: nothing below them is ever part of the image. */
export const SYSTEM_DIRECTORIES = ["/proc", "/dev", "/sys"] as const;

/** The mounts every container has, in order. The nodes in /dev are bound from the host, which works in user namespaces too. */
export function writeSystemMounts(plan: PlanWriter, choices: SystemMountChoices): void {
  const sandboxed = choices.security === "sandbox";
  const frozen = sandboxed ? readOnly : 0;
  const filesystem = (type: string, target: string, options: string, attributes: number): void => {
    plan.add("filesystem", type, target, options, attributes);
  };

  filesystem("proc", "/proc", "", noSuid | noDev | noExec);
  filesystem("tmpfs", "/dev", "mode=755,size=65536k", noSuid | strictAtime | choices.deviceAttributes);
  const terminals = `newinstance,ptmxmode=0666,mode=0620${choices.ttyGroup ? ",gid=5" : ""}`;
  filesystem("devpts", "/dev/pts", terminals, noSuid | noExec);
  const shmBytes = choices.shmSizeBytes ?? DEFAULT_SHM_BYTES;
  filesystem("tmpfs", "/dev/shm", `mode=1777,size=${shmBytes}`, noSuid | noDev | noExec);
  filesystem("mqueue", "/dev/mqueue", "", noSuid | noDev | noExec);
  for (const name of DEVICES) plan.add("bind", `/dev/${name}`, `/dev/${name}`, noSuid | noExec, "");
  for (const name of choices.extraDevices) plan.add("bind", `/dev/${name}`, `/dev/${name}`, noSuid | noExec, "o");
  for (const [link, text] of DEVICE_LINKS) plan.add("symlink", text, link);
  if (choices.hasKernelCore) plan.add("symlink", "/proc/kcore", "/dev/core");

  const sysAttributes = noSuid | noDev | noExec | frozen;
  if (choices.sysfs === "mount") filesystem("sysfs", "/sys", "", sysAttributes);
  else plan.add("bind", "/sys", "/sys", sysAttributes, "r");
  if (choices.cgroup === "v2") filesystem("cgroup2", "/sys/fs/cgroup", "", sysAttributes);
}
