import { readFileSync, readlinkSync, statSync } from "node:fs";
import { errnoOf } from "../../lib/core/errors.ts";
import { isExhausted } from "../../lib/core/system-hints.ts";

/**
 * Limits that decide which parts of a sandbox this process is granted. Read only when a step must run, or by `kiln
 * doctor`.
 */
export interface Limits {
  /** All of it as one text, for comparing: an answer holds as long as this stays the same. */
  readonly text: string;
  /** True when a foreign system call filter is on this process. */
  readonly isFiltered: boolean;
  readonly hasNoNewPrivileges: boolean;
  readonly isRoot: boolean;
  /** The capabilities in effect. */
  readonly capabilities: bigint;
  /** Name of the AppArmor profile or SELinux context; `undefined` for none and for `unconfined`. */
  readonly label: string | undefined;
  /** Values of the kernel's settings, `undefined` for one that this kernel does not have. */
  readonly settings: Readonly<Partial<Record<Setting, number | undefined>>>;
  /** Paths below /proc that something else is mounted on. */
  readonly hiddenInProc: readonly string[];
}

export const SETTINGS = [
  "user/max_user_namespaces",
  "user/max_mnt_namespaces",
  "user/max_pid_namespaces",
  "user/max_uts_namespaces",
  "user/max_ipc_namespaces",
  "user/max_cgroup_namespaces",
  "user/max_net_namespaces",
  "kernel/unprivileged_userns_clone",
  "kernel/apparmor_restrict_unprivileged_userns",
  "kernel/apparmor_restrict_unprivileged_unconfined",
] as const;

export type Setting = (typeof SETTINGS)[number];

/** Namespaces that name the container we are in. Those that the launcher may have made itself are left out. */
const NAMESPACES = ["pid", "uts", "ipc", "net", "cgroup"] as const;

/** @param directory on the disk of the store. */
export function readLimits(directory: string): Limits {
  const status = readText("/proc/self/status") ?? "";
  const field = (name: string): string => new RegExp(`^${name}:\\s*(.+)$`, "m").exec(status)?.[1] ?? "";
  const settings: Partial<Record<Setting, number | undefined>> = {};
  for (const name of SETTINGS) settings[name] = numberIn(`/proc/sys/${name}`);
  const label = readText("/proc/self/attr/current")?.split("\0")[0]?.trim();
  const hiddenInProc = mountPointsBelowProc(readText("/proc/self/mountinfo") ?? "");
  const text = [
    readText("/proc/sys/kernel/random/boot_id")?.trim(),
    readText("/proc/sys/kernel/osrelease")?.trim(),
    ...NAMESPACES.map((name) => linkText(`/proc/self/ns/${name}`)),
    ...["Uid", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp", "Seccomp_filters"].map(field),
    readText("/proc/self/uid_map"),
    label,
    JSON.stringify(settings),
    hiddenInProc.join(" "),
    statSync(directory).dev,
  ].join("\n");
  return {
    text,
    isFiltered: field("Seccomp") === "2",
    hasNoNewPrivileges: field("NoNewPrivs") === "1",
    isRoot: /^0\b/.test(field("Uid")),
    capabilities: BigInt(`0x${field("CapEff") || "0"}`),
    label: label === undefined || label === "" || label.startsWith("unconfined") ? undefined : label,
    settings,
    hiddenInProc,
  };
}

function mountPointsBelowProc(mountInfo: string): string[] {
  const points = mountInfo.split("\n").map((line) => line.split(" ")[4] ?? "");
  return [...new Set(points.filter((path) => path.startsWith("/proc/")))].toSorted();
}

function numberIn(path: string): number | undefined {
  const text = readText(path)?.trim();
  return text === undefined || text === "" ? undefined : Number(text);
}

/** Reads a text. An unreadable file counts as a limit of its own, the same every time. */
function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "latin1");
  } catch (error) {
    if (errnoOf(error) === undefined || isExhausted(error)) throw error;
    return undefined;
  }
}

function linkText(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    if (errnoOf(error) === undefined || isExhausted(error)) throw error;
    return undefined;
  }
}
