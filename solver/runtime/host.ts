import { hostname } from "node:os";
import { existsSync, readFileSync, readlinkSync, statfsSync } from "node:fs";
import { release } from "node:os";
import { errnoOf } from "../../lib/core/errors.ts";
import { isExhausted } from "../../lib/core/system-hints.ts";
import { capabilityMask } from "./policy/capabilities.ts";
import type { HostResolver } from "./resolv-conf.ts";

/** Ids of the user namespace that is made for one step, in the format of /proc/<pid>/uid_map. */
export interface UserNamespaceMap {
  readonly uidMap: string;
  readonly gidMap: string;
  readonly setgroups: "allow" | "deny";
}

/** Facts about the machine and this process. They do not change while a build runs. */
export interface HostFacts {
  readonly resolver: HostResolver;
  /** Capabilities we may hand on: the bounding set of this process. */
  readonly heldCapabilities: bigint;
  /** Set when this process is in a user namespace, as it is for a plain user: the ids that exist in it. */
  readonly userNamespace: { readonly uids: readonly IdRange[]; readonly gids: readonly IdRange[] } | undefined;
  /** `deny` in a user namespace that a plain user made without helpers: supplementary groups then stay as they are. */
  readonly setgroups: "allow" | "deny";
  /** True when this kernel counts the bytes that a process reads from and writes to disks. */
  readonly countsIo: boolean;
  /** True when this kernel has /proc/kcore: /dev/core then leads to it (and it is hidden). */
  readonly hasKernelCore: boolean;
  /** This machine's name, for steps that cannot have one of their own. */
  readonly hostname: string;
  /** `6.1.0-13-amd64`. */
  readonly kernelRelease: string;
  /** Text of /proc/self/mountinfo, from which `Cgroups` finds the hierarchies. */
  readonly mountInfoText: string;
}

/** Ids that exist inside a user namespace. */
export interface IdRange {
  readonly first: number;
  readonly count: number;
}

/** The first user namespace, `PROC_USER_INIT_INO` of linux/proc_ns.h: a map of all ids may also be a container's. */
const INITIAL_NAMESPACE = "user:[4026531837]";

/** Set when this process is in a user namespace: the ids that exist in it. Small reads. */
function readUserNamespace(): HostFacts["userNamespace"] {
  if (readlinkSync("/proc/self/ns/user") === INITIAL_NAMESPACE) return undefined;
  return parseUserNamespace(readText("/proc/self/uid_map") ?? "", readText("/proc/self/gid_map") ?? "");
}

/** Reads a handful of small files of /proc and /etc; well under a millisecond, so synchronously. */
export function readHostFacts(): HostFacts {
  return {
    resolver: {
      resolvConf: readText("/etc/resolv.conf"),
      systemdResolvConf: readText("/run/systemd/resolve/resolv.conf"),
    },
    heldCapabilities: parseSet("CapBnd", readText("/proc/self/status") ?? ""),
    userNamespace: readUserNamespace(),
    setgroups: readText("/proc/self/setgroups")?.trim() === "deny" ? "deny" : "allow",
    countsIo: existsSync("/proc/self/io"),
    hasKernelCore: existsSync("/proc/kcore"),
    hostname: hostname(),
    kernelRelease: release(),
    mountInfoText: readText("/proc/self/mountinfo") ?? "",
  };
}

/** The rights of this process, as far as the kernel tells them without anything being tried. */
export interface Rights {
  readonly capabilities: bigint;
  /** Set when this process is in a user namespace: the ids that exist in it. */
  readonly userNamespace: HostFacts["userNamespace"];
  /** True when a foreign system call filter is on this process. */
  readonly isFiltered: boolean;
  /** Tells processes with other rights apart: for what is remembered about them. */
  readonly identity: string;
}

/** Reads a few lines of /proc. */
export function readRights(uid: number): Rights {
  const status = readText("/proc/self/status") ?? "";
  const userNamespace = readUserNamespace();
  const lines = status.split("\n").filter((line) => /^(?:CapEff|CapBnd|NoNewPrivs|Seccomp)/.test(line));
  return {
    capabilities: parseSet("CapEff", status),
    userNamespace,
    isFiltered: /^Seccomp:\s*2$/m.test(status),
    identity: [uid, JSON.stringify(userNamespace ?? "initial"), ...lines].join("\n"),
  };
}

/** Tells whether the capabilities suffice to give files to other users, and to go on working with them. */
export function canGiveFiles({ capabilities, userNamespace }: Rights): boolean {
  const needed = capabilityMask(["CHOWN", "FOWNER", "DAC_OVERRIDE"]);
  const hasIds = userNamespace === undefined || hasSeveral(userNamespace);
  return hasIds && (capabilities & needed) === needed;
}

/**
 * The last ids of a user namespace that has many: they mark files of owners beyond it. `undefined` where every id exists, or one only.
 */
export function lastIds({ userNamespace }: Rights): { readonly uid: number; readonly gid: number } | undefined {
  if (userNamespace === undefined || !hasSeveral(userNamespace)) return undefined;
  const last = (ranges: typeof userNamespace.uids): number =>
    Math.max(...ranges.map(({ first, count }) => first + count - 1));
  return { uid: last(userNamespace.uids), gid: last(userNamespace.gids) };
}

/** The id of a step's user that does not exist in this process's user namespace; `undefined` where all do. */
export function unmappedId(
  {
    uid,
    gid,
    supplementary,
  }: { readonly uid: number; readonly gid: number; readonly supplementary: readonly number[] },
  namespace: HostFacts["userNamespace"],
): string | undefined {
  if (namespace === undefined) return undefined;
  const has = (ranges: readonly IdRange[], id: number): boolean =>
    ranges.some(({ first, count }) => id >= first && id < first + count);
  if (!has(namespace.uids, uid)) return `user ${uid}`;
  const group = [gid, ...supplementary].find((id) => !has(namespace.gids, id));
  return group === undefined ? undefined : `group ${group}`;
}

function hasSeveral({ uids }: NonNullable<HostFacts["userNamespace"]>): boolean {
  return uids.some(({ count }) => count > 1);
}

/** Tells whether the capabilities suffice to mount. A filter or a security module may still refuse. */
export function canMount({ capabilities }: Rights): boolean {
  return (capabilities & capabilityMask(["SYS_ADMIN"])) !== 0n;
}

/** The map of a user namespace for single steps, in which every id stays what it is and every capability ends. */
export function identityMap(namespace: HostFacts["userNamespace"]): UserNamespaceMap {
  const whole = (ranges: readonly IdRange[] | undefined): string =>
    ranges?.map(({ first, count }) => `${first} ${first} ${count}`).join("\n") ?? `0 0 ${ALL_IDS}`;
  return {
    uidMap: whole(namespace?.uids),
    gidMap: whole(namespace?.gids),
    setgroups: namespace !== undefined && !hasSeveral(namespace) ? "deny" : "allow",
  };
}

/** `OVERLAYFS_SUPER_MAGIC` of linux/magic.h. */
const OVERLAYFS = 0x79_4c_76_30;

/**
 * Chooses the namespace of a store's marks. trusted.* attributes need privileges over the whole machine, and on a store
 * that is itself on an overlay (a container's root) overlayfs hides them.
 */
export function overlayMarksFor(rights: Rights, directory: string): "trusted" | "user" {
  if (rights.userNamespace !== undefined || !canMount(rights)) return "user";
  return statfsSync(directory).type === OVERLAYFS ? "user" : "trusted";
}

/** Every id there is: the one map of the initial user namespace. */
const ALL_IDS = 4_294_967_295;

/** Lines are "first-inside first-outside count". */
function parseUserNamespace(uidMap: string, gidMap: string): HostFacts["userNamespace"] {
  const ranges = (text: string): IdRange[] =>
    text
      .split("\n")
      .map((line) => line.trim().split(/\s+/).map(Number))
      .flatMap(([first, , count]) => (first === undefined || count === undefined ? [] : [{ first, count }]));
  return { uids: ranges(uidMap), gids: ranges(gidMap) };
}

function parseSet(name: string, status: string): bigint {
  const hex = new RegExp(`^${name}:\\s*([0-9a-f]+)$`, "m").exec(status)?.[1];
  return hex === undefined ? 0n : BigInt(`0x${hex}`);
}

/** An absent or unreadable file is a fact like any other; each reader has its own answer to it. */
function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (errnoOf(error) === undefined || isExhausted(error)) throw error;
    return undefined;
  }
}
