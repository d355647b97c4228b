import { posix } from "node:path";
import { BuildError, unreachable } from "../../lib/core/errors.ts";
import type { RunMount, RunRequest, TreeMount } from "../ports.ts";
import type { HostFacts, UserNamespaceMap } from "./host.ts";
import { hostsFile } from "./hosts.ts";
import { MountTable, mountTarget } from "./mount-table.ts";
import type { OwnersBeyond, OwnersState } from "./owners-beyond.ts";
import { type Directive, MOUNT_ATTRIBUTES, PlanWriter } from "./plan-writer.ts";
import { type Capability, capabilitySets, readCapabilities } from "./policy/capabilities.ts";
import { deviceFilter } from "./policy/devices.ts";
import { addSystemMounts, type DeviceNode, SYSTEM_DIRECTORIES, writeDevices } from "./policy/mounts.ts";
import { MASKED_PATHS, READ_ONLY_PATHS } from "./policy/paths.ts";
import { resolvConf } from "./resolv-conf.ts";
import { RLIMITS } from "./rlimits.ts";
import type { SandboxPart } from "./sandbox-parts.ts";
import { type MountPoint, type StubLayer, stubLayer } from "./stub-layer.ts";
import type { SeccompFilter } from "./policy/seccomp.ts";

const { readOnly, noSuid, noDev, noExec, noDevUnlessFiltered } = MOUNT_ATTRIBUTES;

/** A step's places in the cgroup trees, prepared by the driver. */
export interface CgroupPlacement {
  /** Directory in the v2 hierarchy that PID 1 is born in. */
  readonly v2: string | undefined;
  /** `cgroup.procs` files of the v1 hierarchies. */
  readonly v1Procs: readonly string[];
  /** True when the v2 hierarchy is worth showing at /sys/fs/cgroup: on hybrid machines it is empty. */
  readonly showsV2: boolean;
  /**
   * The enforcement of the rules for device nodes: a filter that the runtime attaches to the v2 group, the existing v1
   * group, or none.
   */
  readonly devices: "filter" | "v1" | "none";
}

/** All that a plan depends on beside its request; `plan-facts.ts` reads from the machine what is read for each step. */
export interface PlanFacts {
  readonly host: HostFacts;
  /** Host directory with the empty directories `root` and `tree`. */
  readonly scratchDirectory: string;
  /** Host directory of the stub layers. */
  readonly stubDirectory: string;
  readonly overlayMarks: "trusted" | "user";
  readonly seccomp: SeccompFilter | undefined;
  readonly cgroup: CgroupPlacement | undefined;
  readonly userNamespace: UserNamespaceMap | undefined;
  /** Set where all owners and users but one are pretended. */
  readonly ownersDirectory: string | undefined;
  /** The command line that gives a network namespace a way out; empty where the step wants none. */
  readonly networkHelper: readonly string[];
  /** Nodes of the host's /dev beside the standard ones; empty for a sandboxed step. */
  readonly hostDevices: readonly DeviceNode[];
  /** True when the filter stops calls that need a network of the step's own, so that they are noted. */
  /** The way that owners beyond the ids, and devices, are noted or kept, where there are many ids. */
  readonly owners?: (OwnersBeyond & { readonly state: OwnersState }) | undefined;
  readonly watchesNetwork?: boolean;
  /** Parts of the sandbox that this machine refuses. */
  readonly without: ReadonlySet<SandboxPart>;
  /** Host paths of bind mounts that are no directories. */
  readonly boundFiles: ReadonlySet<string>;
}

/** Instructions for the program, and their preconditions. */
export interface Plan {
  readonly directives: readonly Directive[];
  readonly stubLayers: readonly StubLayer[];
}

/**
 * Turns a request into directives. All policy is here and in policy/; the C program decides nothing. Pure: it reads nothing
 * but its arguments, and the same arguments make the same plan.
 */
export function writePlan(request: RunRequest, facts: PlanFacts): Plan {
  const plan = new PlanWriter();
  const stubs = new StubList(facts.stubDirectory);
  const { host } = facts;
  const sandboxed = request.security === "sandbox";
  const ownNetwork = request.network === "none" || request.network === "sandbox";
  const inUserNamespace = host.userNamespace !== undefined || facts.userNamespace !== undefined;

  plan.add("scratch", facts.scratchDirectory);
  const { without } = facts;
  plan.add("namespace", "pid");
  for (const name of ["ipc", "uts", "cgroup"] as const) if (!without.has(name)) plan.add("namespace", name);
  if (ownNetwork) plan.add("namespace", "net");
  for (const word of facts.networkHelper) plan.add("network-helper", word);
  if (facts.userNamespace !== undefined) {
    const { uidMap, gidMap, setgroups } = facts.userNamespace;
    plan.add("user-namespace", uidMap, gidMap, setgroups === "deny" ? 1 : 0);
  }
  if (facts.cgroup?.v2 !== undefined) plan.add("cgroup-v2", facts.cgroup.v2);
  if (facts.cgroup?.devices === "filter") plan.addBytes("device-filter", [], deviceFilter());
  for (const path of facts.cgroup?.v1Procs ?? []) plan.add("cgroup-procs", path);
  const hasHostname = !without.has("hostname") && !without.has("uts");
  if (hasHostname) plan.add("hostname", request.hostname);
  if (without.has("pivot_root")) plan.add("keep-old-root");

  const devices = sandboxed ? deviceAttributes(facts) : 0;
  const trees: TreeWriter = { plan, stubs, marks: facts.overlayMarks };
  writeTree(trees, request.root, { attributes: devices, below: mountPoints(request, facts.boundFiles) });
  plan.add("root");
  const table = new MountTable();
  addSystemMounts(table, plan, {
    security: request.security,
    sysfs: (inUserNamespace && !ownNetwork) || without.has("sysfs") ? "bind" : "mount",
    proc: without.has("proc") ? "bind" : "mount",
    without,
    cgroup: facts.cgroup?.showsV2 === true && !without.has("cgroup") ? "v2" : "none",
    deviceAttributes: devices,
    ttyGroup: host.userNamespace === undefined || host.userNamespace.gids.some((ids) => contains(ids, 5)),
  });
  addNameFiles(table, plan, hasHostname ? request : { ...request, hostname: host.hostname }, host);
  for (const mount of request.mounts) {
    const target = mountTarget(mount);
    table.set(target, () => writeMount(trees, mount, target, devices));
  }
  if (request.shmSizeBytes !== undefined) {
    const options = `mode=1777,size=${request.shmSizeBytes}`;
    table.set("/dev/shm", () => plan.add("filesystem", "tmpfs", "/dev/shm", options, noSuid | devices));
  }
  table.write();
  writeDevices(plan, { attributes: devices, hasKernelCore: host.hasKernelCore, extra: facts.hostDevices });
  plan.add("working-directory", request.cwd, request.user.uid, request.user.gid);
  if (sandboxed) {
    for (const path of MASKED_PATHS) plan.add("mask", path);
    for (const path of READ_ONLY_PATHS) plan.add("read-only", path);
  }

  writeProcess(plan, request, facts);
  return { directives: plan.directives, stubLayers: stubs.layers };
}

/** The stub layers that a plan names. */
class StubList {
  readonly layers: StubLayer[] = [];
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Adds a layer with the given mount points and returns its host path. */
  add(points: readonly MountPoint[]): string {
    const layer = stubLayer(this.#directory, points);
    this.layers.push(layer);
    return layer.path;
  }
}

/**
 * Returns the attributes of every mount that may hold device nodes. Where the rules for them are not enforced, no node
 * can be opened.
 */
function deviceAttributes({ cgroup }: PlanFacts): number {
  const keeper = cgroup?.devices ?? "none";
  return { filter: noDevUnlessFiltered, v1: 0, none: noDev }[keeper];
}

/**
 * Writes the plan for chroot: identity and settings of the command. Everything else was put into the root beforehand.
 */
export function writeChrootPlan(
  request: RunRequest,
  facts: Pick<PlanFacts, "host" | "seccomp"> & { readonly root: string; readonly answersProc: boolean },
): Plan {
  const plan = new PlanWriter();
  plan.add("chroot", facts.root);
  // A second chroot(2) would let a command leave its root.
  if (facts.answersProc) plan.add("answer-proc");
  writeProcess(plan, { ...request, security: "sandbox" }, { ...facts, withoutCapabilities: ["SYS_CHROOT"] });
  return { directives: plan.directives, stubLayers: [] };
}

function contains(range: { readonly first: number; readonly count: number }, id: number): boolean {
  return id >= range.first && id < range.first + range.count;
}

/** resolv.conf and hosts are files of ours over the image's own, which a layer never sees. */
function addNameFiles(table: MountTable, plan: PlanWriter, request: RunRequest, host: HostFacts): void {
  const resolver = resolvConf(
    host.resolver,
    request.network === "none" || request.network === "sandbox" ? "own" : "host",
  );
  const hosts = hostsFile(request.hostname, request.extraHosts);
  const attributes = readOnly | noSuid | noDev | noExec;
  for (const [target, text] of [
    ["/etc/resolv.conf", resolver],
    ["/etc/hosts", hosts],
  ] as const) {
    table.set(target, () => plan.addText("file", [target, 0o644, 0, 0, attributes], text));
  }
}

/** Mount points that must be there before the first mount; those inside /dev and the like come with their mount. */
function mountPoints(request: RunRequest, boundFiles: PlanFacts["boundFiles"]): MountPoint[] {
  const points: MountPoint[] = SYSTEM_DIRECTORIES.map((target) => ({ target, kind: "directory" }));
  points.push({ target: "/etc/resolv.conf", kind: "file" }, { target: "/etc/hosts", kind: "file" });
  const own = request.mounts.map((mount) => ({ target: mountTarget(mount), kind: mountKind(mount, boundFiles) }));
  // A mount point beside a directory of ours would copy that one into the layer, where it would stay.
  const touched = new Set(own.filter(({ kind }) => kind === undefined).map(({ target }) => target.split("/")[1]));
  for (const { target, kind } of own) {
    if (kind === undefined || SYSTEM_DIRECTORIES.some((one) => target.startsWith(`${one}/`))) continue;
    if (!touched.has(target.split("/")[1])) points.push({ target, kind });
  }
  return points;
}

/** `undefined` when only the runtime can know, which then makes the mount point itself. */
function mountKind(mount: RunMount, boundFiles: PlanFacts["boundFiles"]): MountPoint["kind"] | undefined {
  switch (mount.kind) {
    case "tmpfs":
      return "open directory";
    case "secret":
    case "socket":
      return "file";
    case "tree":
      return mount.source === "/" ? "directory" : undefined;
    case "bind":
      return boundFiles.has(mount.hostPath) ? "file" : "directory";
    default:
      return unreachable(mount);
  }
}

/** The writer of a tree's directives, and its stub layers. */
interface TreeWriter {
  readonly plan: PlanWriter;
  readonly stubs: StubList;
  readonly marks: "trusted" | "user";
}

function writeTree(
  { plan, stubs, marks }: TreeWriter,
  tree: TreeMount,
  at: { readonly attributes: number; readonly below: readonly MountPoint[] },
): void {
  // The kernel's build options may turn these on; a layer packed from the upper directory could not be read elsewhere.
  const plain = `index=off,metacopy=off,redirect_dir=nofollow${marks === "user" ? ",userxattr" : ""}`;
  switch (tree.kind) {
    case "overlay": {
      // `volatile`: the upper directory is thrown away unless the step commits, so fsync inside has nothing to protect,
      // and unmounting does not flush the whole disk.
      const lowers = [...tree.lowers, stubs.add(at.below)];
      plan.add("tree-overlay", tree.upper, tree.work, `volatile,${plain}`, at.attributes, lowers.length, ...lowers);
      return;
    }
    case "overlay-ro": {
      const lowers = [...tree.lowers, stubs.add(at.below)];
      const attributes = at.attributes | readOnly;
      if (lowers.length === 1) lowers.push(stubs.add([{ target: "/proc", kind: "directory" }]));
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

function writeMount(trees: TreeWriter, mount: RunMount, target: string, devices: number): void {
  const { plan } = trees;
  switch (mount.kind) {
    case "bind":
      plan.add("bind", mount.hostPath, target, devices | (mount.mode === "ro" ? readOnly : 0), "");
      return;
    case "tree":
      writeTree(trees, mount.tree, { attributes: devices, below: [] });
      plan.add("tree", posix.join("/", mount.source), target, devices | (mount.mode === "ro" ? readOnly : 0));
      return;
    case "tmpfs": {
      const size = mount.sizeBytes === undefined ? [] : [`size=${mount.sizeBytes}`];
      const attributes = noSuid | devices | (mount.mode === "ro" ? readOnly : 0) | (mount.noExec === true ? noExec : 0);
      if (mount.permissions === undefined) plan.add("tmpfs", target, size.join(), attributes);
      else {
        const options = [...size, `mode=${mount.permissions.toString(8)}`].join();
        plan.add("filesystem", "tmpfs", target, options, attributes);
      }
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

/** The facts that a process depends on. */
interface ProcessFacts {
  readonly host: HostFacts;
  readonly seccomp: SeccompFilter | undefined;
  readonly userNamespace?: UserNamespaceMap | undefined;
  readonly ownersDirectory?: string | undefined;
  readonly withoutCapabilities?: readonly Capability[];
  readonly watchesNetwork?: boolean;
  readonly owners?: PlanFacts["owners"];
}

function writeProcess(plan: PlanWriter, request: RunRequest, facts: ProcessFacts): void {
  const { user } = request;
  const hex = (mask: bigint): string => mask.toString(16);
  const { add = [], drop = [] } = request.capabilities ?? {};
  const added = readCapabilities(add).found;
  // As docker: what is added by its name is not dropped by ALL.
  const dropped = readCapabilities(drop).found.filter((name) => !add.includes("ALL") && !added.includes(name));
  const sets = capabilitySets(request.security, {
    uid: user.uid,
    held: facts.host.heldCapabilities,
    with: added,
    without: [...dropped, ...(facts.withoutCapabilities ?? [])],
  });
  // Container engines list the primary group among the supplementary ones, and `id` shows it.
  const groups = [...new Set([user.gid, ...user.supplementary])];
  plan.add("identity", user.uid, user.gid, groups.length, ...groups);
  if (facts.userNamespace?.setgroups === "deny" || facts.host.setgroups === "deny") plan.add("keep-groups");
  plan.add(
    "capabilities",
    hex(sets.bounding),
    hex(sets.permitted),
    hex(sets.effective),
    hex(sets.inheritable),
    hex(sets.ambient),
  );
  if (request.noNewPrivileges === true) plan.add("no-new-privileges");
  if (facts.watchesNetwork === true) plan.add("watch-network");
  if (facts.owners?.state === "noted") plan.add("watch-owners");
  if (facts.owners?.state === "kept") {
    plan.add("keep-owners", facts.owners.directory, facts.owners.uid, facts.owners.gid);
  }
  if (facts.ownersDirectory !== undefined) plan.add("pretend-owners", facts.ownersDirectory);
  if (facts.seccomp !== undefined) plan.addBytes("seccomp", [facts.seccomp.probe], facts.seccomp.program);
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
