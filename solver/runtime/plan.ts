import { existsSync, statSync } from "node:fs";
import { posix } from "node:path";
import { BuildError, unreachable } from "../../lib/core/errors.ts";
import type { RunMount, RunRequest, TreeMount } from "../ports.ts";
import type { HostFacts, UserNamespaceMap } from "./host.ts";
import { hostsFile } from "./hosts.ts";
import { MountTable, mountTarget } from "./mount-table.ts";
import { MOUNT_ATTRIBUTES, PlanWriter } from "./plan-writer.ts";
import { type Capability, capabilitySets } from "./policy/capabilities.ts";
import { deviceFilter } from "./policy/devices.ts";
import { addSystemMounts, type DeviceNode, SYSTEM_DIRECTORIES, writeDevices } from "./policy/mounts.ts";
import { MASKED_PATHS, READ_ONLY_PATHS } from "./policy/paths.ts";
import { resolvConf } from "./resolv-conf.ts";
import { RLIMITS } from "./rlimits.ts";
import type { MountPoint } from "./stub-layer.ts";
import type { SeccompFilter } from "./policy/seccomp.ts";

const { readOnly, noSuid, noDev, noExec, noDevUnlessFiltered } = MOUNT_ATTRIBUTES;

/** Where a step is put in the cgroup trees, made ready by the driver. */
export interface CgroupPlacement {
  /** Directory in the v2 hierarchy that PID 1 is born in. */
  readonly v2: string | undefined;
  /** `cgroup.procs` files of the v1 hierarchies. */
  readonly v1Procs: readonly string[];
  /** Whether the v2 hierarchy is worth showing at /sys/fs/cgroup: on hybrid machines nothing is in it. */
  readonly showsV2: boolean;
  /**
   * Who keeps the rules for device nodes: a filter that the runtime attaches to the v2 group, the v1 group already, or
   * nobody.
   */
  readonly devices: "filter" | "v1" | "none";
}

export interface PlanContext {
  readonly facts: HostFacts;
  /** Host directory with the empty directories `root` and `tree`. */
  readonly scratchDirectory: string;
  readonly overlayMarks: "trusted" | "user";
  readonly seccomp: SeccompFilter | undefined;
  readonly cgroup: CgroupPlacement | undefined;
  readonly userNamespace: UserNamespaceMap | undefined;
  /** Set where all owners and users but one are pretended. */
  readonly ownersDirectory: string | undefined;
  /** The command line that gives a network namespace a way out, asked for where a step wants one. */
  networkHelper(): readonly string[];
  /** All nodes of the host's /dev, asked for by an insecure step only. */
  hostDevices(): readonly DeviceNode[];
  stubLayer(points: readonly MountPoint[]): string;
}

/** Turns a request into directives. All policy is here and in policy/; the C program decides nothing. */
export function writePlan(request: RunRequest, context: PlanContext): Uint8Array {
  const plan = new PlanWriter();
  const { facts } = context;
  const sandboxed = request.security === "sandbox";
  const ownNetwork = request.network === "none" || request.network === "sandbox";
  const inUserNamespace = facts.userNamespace !== undefined || context.userNamespace !== undefined;

  plan.add("scratch", context.scratchDirectory);
  for (const name of ["pid", "ipc", "uts", "cgroup"]) plan.add("namespace", name);
  if (ownNetwork) plan.add("namespace", "net");
  if (request.network === "sandbox") for (const word of context.networkHelper()) plan.add("network-helper", word);
  if (context.userNamespace !== undefined) {
    const { uidMap, gidMap, setgroups } = context.userNamespace;
    plan.add("user-namespace", uidMap, gidMap, setgroups === "deny" ? 1 : 0);
  }
  if (context.cgroup?.v2 !== undefined) plan.add("cgroup-v2", context.cgroup.v2);
  if (context.cgroup?.devices === "filter") plan.addBytes("device-filter", [], deviceFilter());
  for (const path of context.cgroup?.v1Procs ?? []) plan.add("cgroup-procs", path);
  plan.add("hostname", request.hostname);

  const devices = sandboxed ? deviceAttributes(context) : 0;
  writeTree(plan, request.root, context, { attributes: devices, below: mountPoints(request) });
  plan.add("root");
  const table = new MountTable();
  addSystemMounts(table, plan, {
    security: request.security,
    sysfs: inUserNamespace && !ownNetwork ? "bind" : "mount",
    cgroup: context.cgroup?.showsV2 === true ? "v2" : "none",
    deviceAttributes: devices,
    ttyGroup: facts.userNamespace === undefined || facts.userNamespace.gids.some((ids) => contains(ids, 5)),
  });
  addNameFiles(table, plan, request, facts);
  for (const mount of request.mounts) {
    const target = mountTarget(mount);
    table.set(target, () => writeMount(plan, mount, target, context, devices));
  }
  if (request.shmSizeBytes !== undefined) {
    const options = `mode=1777,size=${request.shmSizeBytes}`;
    table.set("/dev/shm", () => plan.add("filesystem", "tmpfs", "/dev/shm", options, noSuid | devices));
  }
  table.write();
  writeDevices(plan, {
    attributes: devices,
    hasKernelCore: existsSync("/proc/kcore"),
    extra: sandboxed ? [] : context.hostDevices(),
  });
  plan.add("working-directory", request.cwd, request.user.uid, request.user.gid);
  if (sandboxed) {
    for (const path of MASKED_PATHS) plan.add("mask", path);
    for (const path of READ_ONLY_PATHS) plan.add("read-only", path);
  }

  writeProcess(plan, request, context);
  return plan.finish();
}

/** For every mount that device nodes may be on. Where nobody keeps the rules for them, no node can be opened. */
function deviceAttributes(context: PlanContext): number {
  const keeper = context.cgroup?.devices ?? "none";
  return { filter: noDevUnlessFiltered, v1: 0, none: noDev }[keeper];
}

/** For chroot: what the command runs as and with. Everything else was put into the root beforehand. */
export function writeChrootPlan(
  request: RunRequest,
  context: Pick<PlanContext, "facts" | "seccomp"> & { readonly root: string },
): Uint8Array {
  const plan = new PlanWriter();
  plan.add("chroot", context.root);
  // With chroot(2) once more, a command could leave its root.
  writeProcess(plan, { ...request, security: "sandbox" }, { ...context, without: ["SYS_CHROOT"] });
  return plan.finish();
}

function contains(range: { readonly first: number; readonly count: number }, id: number): boolean {
  return id >= range.first && id < range.first + range.count;
}

/** resolv.conf and hosts are files of ours over the image's own, which a layer never sees. */
function addNameFiles(table: MountTable, plan: PlanWriter, request: RunRequest, facts: HostFacts): void {
  const resolver = resolvConf(
    facts.resolver,
    request.network === "none" || request.network === "sandbox" ? "own" : "host",
  );
  const hosts = hostsFile(request.hostname, request.extraHosts);
  const attributes = readOnly | noSuid | noDev | noExec;
  for (const [target, text] of [
    ["/etc/resolv.conf", resolver],
    ["/etc/hosts", hosts],
  ] as const) {
    table.set(target, () => plan.addBytes("file", [target, 0o644, 0, 0, attributes], Buffer.from(text)));
  }
}

/** Mount points that must be there before the first mount; those inside /dev and the like come with their mount. */
function mountPoints(request: RunRequest): MountPoint[] {
  const points: MountPoint[] = SYSTEM_DIRECTORIES.map((target) => ({ target, kind: "directory" }));
  points.push({ target: "/etc/resolv.conf", kind: "file" }, { target: "/etc/hosts", kind: "file" });
  const own = request.mounts.map((mount) => ({ target: mountTarget(mount), kind: mountKind(mount) }));
  // What the runtime makes beside a directory of ours would copy that one into the layer, where it would stay.
  const touched = new Set(own.filter(({ kind }) => kind === undefined).map(({ target }) => target.split("/")[1]));
  for (const { target, kind } of own) {
    if (kind === undefined || SYSTEM_DIRECTORIES.some((one) => target.startsWith(`${one}/`))) continue;
    if (!touched.has(target.split("/")[1])) points.push({ target, kind });
  }
  return points;
}

/** `undefined` when only the runtime can know, which then makes the mount point itself. */
function mountKind(mount: RunMount): MountPoint["kind"] | undefined {
  switch (mount.kind) {
    case "tmpfs":
      return "open directory";
    case "secret":
    case "socket":
      return "file";
    case "tree":
      return mount.source === "/" ? "directory" : undefined;
    case "bind":
      return statSync(mount.hostPath, { throwIfNoEntry: false })?.isDirectory() === false ? "file" : "directory";
    default:
      return unreachable(mount);
  }
}

function writeTree(
  plan: PlanWriter,
  tree: TreeMount,
  context: PlanContext,
  at: { readonly attributes: number; readonly below: readonly MountPoint[] },
): void {
  // The kernel's build options may turn these on; a layer packed from the upper directory could not be read elsewhere.
  const plain = `index=off,metacopy=off,redirect_dir=nofollow${context.overlayMarks === "user" ? ",userxattr" : ""}`;
  switch (tree.kind) {
    case "overlay": {
      // `volatile`: the upper directory is thrown away unless the step commits, so fsync inside has nothing to protect,
      // and unmounting does not flush the whole disk.
      const lowers = [...tree.lowers, context.stubLayer(at.below)];
      plan.add("tree-overlay", tree.upper, tree.work, `volatile,${plain}`, at.attributes, lowers.length, ...lowers);
      return;
    }
    case "overlay-ro": {
      const lowers = [...tree.lowers, context.stubLayer(at.below)];
      const attributes = at.attributes | readOnly;
      if (lowers.length === 1) lowers.push(context.stubLayer([{ target: "/proc", kind: "directory" }]));
      plan.add("tree-overlay", "", "", plain, attributes, lowers.length, ...lowers);
      return;
    }
    case "directory":
      plan.add("tree-directory", tree.path, at.attributes | (tree.mode === "ro" ? readOnly : 0));
      return;
    default:
      unreachable(tree);
  }
}

function writeMount(plan: PlanWriter, mount: RunMount, target: string, context: PlanContext, devices: number): void {
  switch (mount.kind) {
    case "bind":
      plan.add("bind", mount.hostPath, target, devices | (mount.mode === "ro" ? readOnly : 0), "");
      return;
    case "tree":
      writeTree(plan, mount.tree, context, { attributes: devices, below: [] });
      plan.add("tree", posix.join("/", mount.source), target, devices | (mount.mode === "ro" ? readOnly : 0));
      return;
    case "tmpfs": {
      const size = mount.sizeBytes === undefined ? "" : `size=${mount.sizeBytes}`;
      const frozen = mount.mode === "ro" ? readOnly : 0;
      plan.add("tmpfs", target, size, noSuid | devices | frozen);
      return;
    }
    case "secret": {
      const executable = (mount.permissions & 0o111) !== 0;
      const attributes = readOnly | noSuid | noDev | (executable ? 0 : noExec);
      plan.addBytes("file", [target, mount.permissions, mount.uid, mount.gid, attributes], mount.data);
      return;
    }
    case "socket":
      plan.add("bind", mount.hostPath, target, noSuid | noDev | noExec, "");
      return;
    default:
      unreachable(mount);
  }
}

/** What a process needs to know of the context. */
interface ProcessContext {
  readonly facts: HostFacts;
  readonly seccomp: SeccompFilter | undefined;
  readonly userNamespace?: UserNamespaceMap | undefined;
  readonly ownersDirectory?: string | undefined;
  readonly without?: readonly Capability[];
}

function writeProcess(plan: PlanWriter, request: RunRequest, context: ProcessContext): void {
  const { user } = request;
  const hex = (mask: bigint): string => mask.toString(16);
  const sets = capabilitySets(request.security, {
    uid: user.uid,
    held: context.facts.heldCapabilities,
    without: context.without ?? [],
  });
  // Container engines list the primary group among the supplementary ones, and `id` shows it.
  const groups = [...new Set([user.gid, ...user.supplementary])];
  plan.add("identity", user.uid, user.gid, groups.length, ...groups);
  if (context.userNamespace?.setgroups === "deny" || context.facts.setgroups === "deny") plan.add("keep-groups");
  plan.add(
    "capabilities",
    hex(sets.bounding),
    hex(sets.permitted),
    hex(sets.effective),
    hex(sets.inheritable),
    hex(sets.ambient),
  );
  if (context.ownersDirectory !== undefined) plan.add("pretend-owners", context.ownersDirectory);
  if (context.seccomp !== undefined) {
    plan.addBytes("seccomp", [context.seccomp.probe], context.seccomp.program);
  }
  for (const { name, soft, hard } of request.ulimits) {
    const number = RLIMITS.get(name);
    if (number === undefined) {
      throw new BuildError("runtime/failed", `Cannot set the limit "${name}": there is none of that name`, {
        hint: `limits are ${[...RLIMITS.keys()].join(", ")}`,
      });
    }
    plan.add("rlimit", number, rlimitValue(soft), rlimitValue(hard));
  }
  if (request.stdio.kind === "inherit") plan.add("inherit-stdio");
  plan.add("cwd", request.cwd);
  for (const arg of request.argv) plan.add("arg", arg);
  // An empty HOME is none, as for the container engines.
  const env = request.env.filter((entry) => entry !== "HOME=");
  for (const entry of env) plan.add("env", entry);
  if (!env.some((entry) => entry.startsWith("HOME="))) plan.add("env", `HOME=${user.home}`);
}

/** -1 is no limit, which the kernel writes as all ones. */
function rlimitValue(value: number): bigint {
  return value < 0 ? 0xffff_ffff_ffff_ffffn : BigInt(value);
}
