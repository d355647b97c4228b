import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../../lib/core/errors.ts";
import type { Native } from "../../lib/native/native.ts";
import type { RunRequest } from "../ports.ts";
import { CONTROLLERS, findHierarchies } from "./cgroup-tree.ts";
import type { RuntimeOptions } from "./driver.ts";
import { createRuntime } from "./driver.ts";
import { identityMap, readHostFacts, readUserNamespace, type UserNamespaceMap } from "./host.ts";
import { NETWORK_HELPER_HINT } from "./network-helper.ts";
import { defaultSeccompFilter } from "./policy/seccomp.ts";

/** What trying one thing showed. `fix` is a command, package or line of configuration, when one is known. */
export interface ProbeResult {
  readonly name: string;
  readonly ok: boolean;
  /** What was seen, in a few words. */
  readonly detail: string;
  readonly fix: string | undefined;
}

export interface ProbeContext {
  readonly runtimePath: string;
  /** Host directory on the disk that builds use; the probes make and remove a folder in it. */
  readonly directory: string;
  readonly overlayMarks: "trusted" | "user";
  /** `process.arch`. */
  readonly arch: string;
  readonly uid: number;
  readonly gid: number;
  /** Name or number of the user outside of any user namespace, for the lines of advice. */
  readonly user: string;
  readonly instance: string;
  /** Directories of PATH, where newuidmap is looked for. */
  readonly searchPath: readonly string[];
  /** For the probes of what goes without namespaces, or without ids. */
  readonly native: Native;
}

/** Every probe, each by doing the thing in question. Quick: all of them take well under a second. */
export async function probeAll(context: ProbeContext, signal: AbortSignal): Promise<ProbeResult[]> {
  const results: ProbeResult[] = [];
  for (const probe of [
    probeSandbox,
    probeChroot,
    probeOverlay,
    probeUserNamespace,
    probeSubordinateIds,
    probePretendedIds,
    probeNetwork,
    probeNetworkHelper,
    probeSeccomp,
    probeCgroups,
  ]) {
    // One after the other, so that one that hangs is seen for what it is.
    // oxlint-disable-next-line no-await-in-loop
    results.push(await probe(context, signal));
  }
  const works = (wanted: string): boolean => results.some(({ name, ok }) => name === wanted && ok);
  // What stands in for something is of no interest where that works.
  return results.filter(
    ({ name }) =>
      !(name === "chroot" && works("sandbox")) &&
      !(name === "pretended ids" && (works("subordinate ids") || !works("sandbox"))),
  );
}

const UNPRIVILEGED_FIX =
  "run kiln as root, or allow user namespaces: sysctl -w user.max_user_namespaces=15000; " +
  "on Debian before 11 also sysctl -w kernel.unprivileged_userns_clone=1; " +
  "on Ubuntu 24.04 and later sysctl -w kernel.apparmor_restrict_unprivileged_userns=0; " +
  "in a container: docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined " +
  "--security-opt systempaths=unconfined, in a pod securityContext: { procMount: Unmasked, seccompProfile: { type: Unconfined } } and hostUsers: false";

/** Mount, pid, ipc, uts and cgroup namespaces, a new /proc, the standard mounts, pivot_root. */
async function probeSandbox(context: ProbeContext, signal: AbortSignal): Promise<ProbeResult> {
  return attempt(context, { name: "sandbox", works: "namespaces, /proc and pivot_root", fix: sandboxFix }, {}, signal);
}

/** What is left where the sandbox does not work: for root of a container, who may chroot. */
async function probeChroot(context: ProbeContext, signal: AbortSignal): Promise<ProbeResult> {
  const name = "chroot";
  const { native } = context;
  if (context.uid !== 0) {
    return { name, ok: false, detail: "for root of a container only", fix: undefined };
  }
  const fix = (): string =>
    "docker run --cap-add SYS_CHROOT; in a pod securityContext: { runAsUser: 0, capabilities: { add: [SYS_CHROOT] } }";
  const works = "a step can be kept in a directory, for where namespaces are not allowed";
  return attempt(context, { name, works, fix }, { chroot: { native } }, signal);
}

/** The filter that stops the calls which need more ids than one, and the process that answers them. */
async function probePretendedIds(context: ProbeContext, signal: AbortSignal): Promise<ProbeResult> {
  const fix = (): string => "kiln pretends other users by seccomp's user notification, which needs Linux 5.14 or later";
  const works = "other users can be pretended where there is a single id";
  return attempt(context, { name: "pretended ids", works, fix }, { ids: "pretended" }, signal);
}

/** A network of the step's own with a way out, as for --network=sandbox. */
async function probeNetworkHelper(context: ProbeContext, signal: AbortSignal): Promise<ProbeResult> {
  const fix = (error: string): string =>
    /not installed|neither/.test(error)
      ? NETWORK_HELPER_HINT
      : "the helper needs /dev/net/tun: modprobe tun; chmod 666 /dev/net/tun; docker run --device /dev/net/tun";
  const works = "the outside is reached through pasta or slirp4netns";
  return attempt(context, { name: "network sandbox", works, fix }, { network: "sandbox" }, signal);
}

function sandboxFix(error: string): string {
  if (/proc file system/.test(error)) {
    return (
      "the container kiln runs in hides parts of /proc: docker run --security-opt systempaths=unconfined, " +
      "or in a pod securityContext: { procMount: Unmasked } and hostUsers: false"
    );
  }
  if (/5\.1[12]|Function not implemented/.test(error)) return "kiln's sandbox needs Linux 5.12 or later";
  return UNPRIVILEGED_FIX;
}

/** An overlay with an upper directory on the disk that builds use. */
export async function probeOverlay(context: ProbeContext, signal: AbortSignal): Promise<ProbeResult> {
  const fix = (): string =>
    "modprobe overlay; without root it needs Linux 5.11 or later; the disk must not itself be an overlay " +
    "(give --root on a volume, or mount one at the store); until then kiln copies files instead, which is slower";
  return attempt(context, { name: "overlay", works: "mounted inside the sandbox", fix }, { root: "overlay" }, signal);
}

/** A further user namespace for one step: all ids as root, one's own id otherwise. */
async function probeUserNamespace(context: ProbeContext, signal: AbortSignal): Promise<ProbeResult> {
  const isPrivileged = context.uid === 0;
  const map: UserNamespaceMap = isPrivileged
    ? identityMap(readUserNamespace())
    : { uidMap: `0 ${context.uid} 1`, gidMap: `0 ${context.gid} 1`, setgroups: "deny" };
  const works = isPrivileged ? "with an identity map" : "with a single id";
  const fix = (): string => UNPRIVILEGED_FIX;
  return attempt(context, { name: "user namespace", works, fix }, { userNamespace: map }, signal);
}

/** What a plain user needs so that images with more than one user keep their owners. */
async function probeSubordinateIds(context: ProbeContext, signal: AbortSignal): Promise<ProbeResult> {
  signal.throwIfAborted();
  const name = "subordinate ids";
  const facts = readHostFacts().userNamespace;
  if (facts !== undefined && facts.uids.some(({ count }) => count > 1)) {
    return {
      name,
      ok: true,
      detail: `${facts.uids.reduce((sum, { count }) => sum + count, 0)} ids are mapped`,
      fix: undefined,
    };
  }
  if (facts === undefined && context.uid === 0) return { name, ok: true, detail: "not needed by root", fix: undefined };
  const missing = ["newuidmap", "newgidmap"].filter(
    (tool) => !context.searchPath.some((path) => existsSync(join(path, tool))),
  );
  if (missing.length > 0) {
    return {
      name,
      ok: false,
      detail: `${missing.join(" and ")} not found`,
      fix: "apt-get install uidmap (shadow-utils elsewhere)",
    };
  }
  const lacking = ["/etc/subuid", "/etc/subgid"].filter((path) => !grantsIds(path, context.user));
  if (lacking.length > 0) {
    return {
      name,
      ok: false,
      detail: `${lacking.join(" and ")} grant${lacking.length === 1 ? "s" : ""} ${context.user} no ids`,
      fix: `as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ${context.user}`,
    };
  }
  return {
    name,
    ok: false,
    detail: "ids are granted, and newuidmap could not map them",
    fix: 'newuidmap must be setuid root or have file capabilities: as root, chmod u+s "$(command -v newuidmap)" "$(command -v newgidmap)"',
  };
}

function grantsIds(path: string, user: string): boolean {
  return (
    existsSync(path) &&
    readFileSync(path, "utf8")
      .split("\n")
      .some((line) => line.startsWith(`${user}:`))
  );
}

/** A network namespace with nothing but loopback, as for --network=none. */
async function probeNetwork(context: ProbeContext, signal: AbortSignal): Promise<ProbeResult> {
  const fix = (): string => "sysctl -w user.max_net_namespaces=15000; without it RUN --network=none fails";
  return attempt(context, { name: "network namespace", works: "loopback is up", fix }, { network: "none" }, signal);
}

/** The system call filter: installed, and seen to refuse a call. Part of every sandboxed step where it exists. */
async function probeSeccomp(context: ProbeContext, signal: AbortSignal): Promise<ProbeResult> {
  if (defaultSeccompFilter(context.arch) === undefined) {
    return {
      name: "seccomp",
      ok: false,
      detail: `no filter is known for ${context.arch}`,
      fix: "build on x86-64 or arm64",
    };
  }
  const fix = (error: string): string =>
    /filter/.test(error)
      ? "the kernel needs CONFIG_SECCOMP_FILTER=y"
      : "see the sandbox probe, which fails for the same reason";
  const about = { name: "seccomp", works: "filter installed and refusing", fix };
  const result = await attempt(context, about, {}, signal);
  const { native } = context;
  // Where namespaces are not allowed, the filter is there with chroot all the same.
  if (result.ok || context.uid !== 0) return result;
  return attempt(context, about, { chroot: { native } }, signal);
}

/** Whether memory limits can be set on a step, and which controllers there are. */
async function probeCgroups(context: ProbeContext, signal: AbortSignal): Promise<ProbeResult> {
  const name = "cgroups";
  const hierarchies = findHierarchies(readHostFacts().mountInfoText);
  const missing = CONTROLLERS.filter((one) => !hierarchies.some(({ controllers }) => controllers.includes(one)));
  const notices: string[] = [];
  const fix = (): string =>
    "start kiln in a delegated group: systemd-run --user --scope -p Delegate=yes kiln build ...";
  const versions = [
    ...new Set(hierarchies.filter(({ controllers }) => controllers.length > 0).map(({ version }) => `v${version}`)),
  ];
  const result = await attempt(
    context,
    { name, works: `${versions.join(" and ")}${missing.length === 0 ? "" : `, without ${missing.join(", ")}`}`, fix },
    { limits: { memoryBytes: 256 * 1024 * 1024 }, notices },
    signal,
  );
  const [notice] = notices;
  return result.ok && notice !== undefined ? { name, ok: false, detail: notice, fix: fix() } : result;
}

interface Attempt {
  readonly root?: "overlay";
  readonly network?: "none" | "sandbox";
  readonly chroot?: { readonly native: Native };
  readonly ids?: "pretended";
  readonly userNamespace?: UserNamespaceMap;
  readonly limits?: RunRequest["limits"];
  readonly notices?: string[];
}

/**
 * One real step. The command is the runtime itself, bound into an otherwise empty root: called by hand it prints what it
 * is and exits with 125, so no image is needed.
 */
async function attempt(
  context: ProbeContext,
  about: { readonly name: string; readonly works: string; fix(error: string): string },
  how: Attempt,
  signal: AbortSignal,
): Promise<ProbeResult> {
  const directory = mkdtempSync(join(context.directory, "probe-"));
  try {
    const path = (name: string): string => {
      const full = join(directory, name);
      mkdirSync(full);
      return full;
    };
    const options: RuntimeOptions = {
      runtimePath: context.runtimePath,
      scratchDirectory: path("scratch"),
      overlayMarks: context.overlayMarks,
      arch: context.arch,
      instance: context.instance,
      notice: (message) => how.notices?.push(message),
      searchPath: context.searchPath,
      chroot: how.chroot,
      ownersDirectory: how.ids === undefined ? undefined : path("owners"),
      ...(how.userNamespace === undefined ? {} : { userNamespace: how.userNamespace }),
    };
    const root: RunRequest["root"] =
      how.root === "overlay"
        ? { kind: "overlay", upper: path("upper"), work: path("work"), lowers: [path("lower")] }
        : { kind: "directory", path: path("root"), mode: "rw" };
    let stderr = "";
    const { exitCode } = await createRuntime(options).run(
      {
        root,
        mounts: [{ kind: "bind", hostPath: context.runtimePath, target: "/probe", mode: "ro" }],
        argv: ["/probe"],
        env: [],
        cwd: "/",
        user: { uid: 0, gid: 0, supplementary: [], home: "/" },
        hostname: "probe",
        network: how.network ?? "default",
        security: "sandbox",
        extraHosts: [],
        shmSizeBytes: undefined,
        ulimits: [],
        limits: how.limits ?? {},
        cgroupParent: undefined,
        stdio: { kind: "pipes", onOutput: (_, chunk) => void (stderr += Buffer.from(chunk).toString()) },
      },
      signal,
    );
    if (exitCode === 125 && stderr.startsWith("kiln-runtime")) {
      return { name: about.name, ok: true, detail: about.works, fix: undefined };
    }
    return {
      name: about.name,
      ok: false,
      detail: `the command ended with ${exitCode}: ${stderr.trim()}`,
      fix: about.fix(stderr),
    };
  } catch (error) {
    signal.throwIfAborted();
    const detail = messageOf(error);
    return { name: about.name, ok: false, detail, fix: about.fix(detail) };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
