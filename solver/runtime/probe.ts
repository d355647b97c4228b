import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../../lib/core/errors.ts";
import { isExhausted } from "../../lib/core/system-hints.ts";
import { type Attempt, type AttemptContext, type Tried, tryStep } from "./attempt.ts";
import { type Cause, causesOf } from "./causes.ts";
import { CONTROLLERS, findHierarchies } from "./cgroup-tree.ts";
import { type HostFacts, canGiveFiles, canMount, lastIds, readHostFacts, type Rights } from "./host.ts";
import { climb } from "./ladder.ts";
import { emulationResult } from "./emulation.ts";
import { readLimits } from "./limits.ts";
import { NETWORK_HELPER_HINT } from "./network-helper.ts";
import { probeFiles, type ProbeResult } from "./probe-files.ts";
import { defaultSeccompFilter } from "./policy/seccomp.ts";
import type { Refusal, Rung } from "./rung.ts";

export interface ProbeContext extends AttemptContext {
  readonly rights: Rights;
  readonly uid: number;
  readonly gid: number;
  /** Name or number of the user outside of any user namespace, for the lines of advice. */
  readonly user: string;
  /** `given`: new files get their owners; `written down`: the owners are recorded. */
  readonly owners: "given" | "written down";
}

/** Everything that was tried, and why what failed did. */
export interface Report {
  readonly rung: Rung;
  readonly checks: readonly ProbeResult[];
  readonly causes: readonly Cause[];
}

/** Every probe, each by doing the thing in question. Quick: all of them take well under a second. */
export async function probeAll(context: ProbeContext, signal: AbortSignal): Promise<Report> {
  const limits = readLimits(context.directory);
  const maySysAdmin = canMount(context.rights);
  const ids = context.owners === "given" ? "real" : "pretended";
  const { rung, causes } = await climb({ ...context, ids, maySysAdmin, identity: "" }, limits, signal);
  const step = stepOf(context, rung);
  const tried = step === undefined ? undefined : await tryStep(context, step, signal);
  const hasNetworks = rung.kind === "namespaces";
  const helper = hasNetworks
    ? helperResult(await tryStep(context, { ...step, network: "sandbox" }, signal))
    : undefined;
  const checks: ProbeResult[] = [
    runResult(rung, tried),
    overlayResult(rung),
    ...probeFiles(context),
    ...rightsResults(tried, context, helper?.ok === true),
    idsResult(context, rung),
    filterResult(context, tried),
    emulationResult(),
  ];
  const refusals: Refusal[] = [];
  if (rung.kind === "namespaces") {
    const onRefusal = (refusal: Refusal): void => void refusals.push(refusal);
    const alone = await tryStep(context, { ...step, network: "none", onRefusal }, signal);
    if (alone.refused !== undefined) refusals.push({ part: alone.refused, message: alone.message ?? "" });
    checks.push(networkResult(alone));
    if (helper !== undefined) checks.push(helper);
    checks.push(await limitsResult(context, step, signal));
  }
  // In the order of importance: the first obstacle of the climb comes first.
  const all = [...causes, ...causesOf(refusals, { limits, maySysAdmin })];
  return { rung, checks, causes: [...new Map(all.map((one) => [one.cause, one])).values()] };
}

/** A step on the rung that was found; `undefined` where there are none. */
function stepOf({ native, owners, rights }: ProbeContext, rung: Rung): Attempt | undefined {
  if (rung.kind === "none") return undefined;
  if (rung.kind === "chroot") return { chroot: { native } };
  return {
    without: rung.without,
    ...(rung.overlay ? { root: "overlay" as const } : {}),
    ...(owners === "given" ? { lastIds: lastIds(rights) } : { ids: "pretended" }),
  };
}

function runResult(rung: Rung, tried: Tried | undefined): ProbeResult {
  const name = "RUN";
  if (rung.kind === "none") return { name, ok: false, detail: rung.reasons.join("; "), fix: undefined };
  if (tried?.message !== undefined) return { name, ok: false, detail: tried.message, fix: undefined };
  if (rung.kind === "chroot") return { name, ok: true, detail: "with chroot, in a copy of the tree", fix: undefined };
  const parts = rung.without.length === 0 ? "" : `, without ${rung.without.join(", ")}`;
  return { name, ok: true, detail: `in namespaces${parts}`, fix: undefined };
}

function overlayResult(rung: Rung): ProbeResult {
  if (rung.kind === "none") return { name: "overlay", ok: false, detail: "see RUN", fix: undefined };
  const ok = rung.kind === "namespaces" && rung.overlay;
  const detail = ok ? "layers are stacked, not copied" : "the first RUN on an image copies its tree";
  return { name: "overlay", ok, detail, fix: undefined };
}

/** Reports the rights that a step has. */
function rightsResults(tried: Tried | undefined, { owners, rights }: ProbeContext, hasHelper: boolean): ProbeResult[] {
  if (tried === undefined || tried.message !== undefined) return [];
  const can = (name: string): boolean => tried.rights.get(name) === 0;
  const network = "see network sandbox: with it such steps are run again in a network of their own";
  const own = (works: string, name: string): string =>
    can(name) ? works : "not in this machine's network: such a step is run again in one of its own";
  const rows = [
    {
      name: "ports below 1024",
      ok: can("port") || hasHelper,
      works: own("a step may listen on port 80", "port"),
      fix: network,
    },
    {
      name: "ping",
      ok: can("raw") || hasHelper,
      works: own("a step may ping; it has other raw sockets in a network of its own only", "raw"),
      fix: network,
    },
    {
      name: "chown in a RUN",
      ok: can("chown"),
      works: owners === "given" ? "to every id" : "pretended, and in the layer",
      fix: "apt-get install uidmap, and subordinate ids for this user",
    },
    {
      name: "mknod in a RUN",
      ok: can("mknod"),
      works: owners === "given" && lastIds(rights) === undefined ? "devices are made" : "pretended, and in the layer",
      fix: "steps that make device nodes need root of the machine, or Linux 5.14",
    },
    { name: "/proc in a RUN", ok: can("proc"), works: "/proc/self is there", fix: "see the causes below" },
  ];
  return rows.map(({ name, ok, works, fix }) => ({
    name,
    ok,
    detail: ok ? works : "refused in a step",
    fix: ok ? undefined : fix,
  }));
}

/** Reports whether all users of an image exist here or are pretended, and how a plain user gets real ones. */
function idsResult(context: ProbeContext, rung: Rung): ProbeResult {
  const name = "ids";
  const { userNamespace } = context.rights;
  const count = sum(userNamespace);
  if (canGiveFiles(context.rights)) {
    const detail = userNamespace === undefined ? "all users of an image exist" : `${count} ids are mapped`;
    return { name, ok: true, detail, fix: undefined };
  }
  // Subordinate ids are of no use before there are namespaces.
  if (rung.kind === "none") return { name, ok: false, detail: "other owners are written down", fix: "see RUN" };
  const lack = subordinateLack(context);
  return { name, ok: false, detail: `a single id: all others are pretended (${lack.detail})`, fix: lack.fix };
}

function sum(namespace: HostFacts["userNamespace"]): number {
  return namespace?.uids.reduce((total, { count }) => total + count, 0) ?? 0;
}

/** Returns the missing part for a plain user's images to keep several owners. */
function subordinateLack(context: ProbeContext): { readonly detail: string; readonly fix: string } {
  const missing = ["newuidmap", "newgidmap"].filter(
    (tool) => !context.searchPath.some((path) => existsSync(join(path, tool))),
  );
  if (missing.length > 0) {
    return { detail: `${missing.join(" and ")} not found`, fix: "apt-get install uidmap (shadow-utils elsewhere)" };
  }
  const lacking = ["/etc/subuid", "/etc/subgid"].filter((path) => !grantsIds(path, context.user));
  if (lacking.length > 0) {
    return {
      detail: `${lacking.join(" and ")} grant${lacking.length === 1 ? "s" : ""} ${context.user} no ids`,
      fix: `as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ${context.user}`,
    };
  }
  if (readLimits(context.directory).hasNoNewPrivileges) {
    return {
      detail: "no-new-privileges: newuidmap is not allowed to map the ids that are granted",
      fix: "leave out --security-opt no-new-privileges; in a pod, allowPrivilegeEscalation: true",
    };
  }
  return {
    detail: "ids are granted, and newuidmap could not map them",
    fix: 'newuidmap must be setuid root or have file capabilities: as root, chmod u+s "$(command -v newuidmap)" "$(command -v newgidmap)"',
  };
}

/** A file that is missing or may not be read grants nothing: newuidmap would not see more. */
function grantsIds(path: string, user: string): boolean {
  try {
    return readFileSync(path, "utf8")
      .split("\n")
      .some((line) => line.startsWith(`${user}:`));
  } catch (error) {
    if (errnoOf(error) === undefined || isExhausted(error)) throw error;
    return false;
  }
}

/** The system call filter, which every step installs and tries before its command starts. */
function filterResult({ arch }: ProbeContext, tried: Tried | undefined): ProbeResult {
  const name = "seccomp";
  if (defaultSeccompFilter(arch) === undefined) {
    return { name, ok: false, detail: `no filter is known for ${arch}`, fix: "build on x86-64 or arm64" };
  }
  const ok = tried !== undefined && tried.message === undefined;
  const fix = /filter/.test(tried?.message ?? "") ? "the kernel needs CONFIG_SECCOMP_FILTER=y" : "see RUN";
  return { name, ok, detail: ok ? "filter installed and refusing" : "not tried", fix: ok ? undefined : fix };
}

/** A network namespace with nothing but loopback, as for --network=none. */
function networkResult({ message }: Tried): ProbeResult {
  const fix = "sysctl -w user.max_net_namespaces=15000; without it RUN --network=none fails";
  return result("network none", "loopback is up", { message, fix });
}

/** A network of the step's own with a way out, as for --network=sandbox. */
function helperResult({ message }: Tried): ProbeResult {
  const fix = /not installed|neither/.test(message ?? "")
    ? NETWORK_HELPER_HINT
    : "the helper needs /dev/net/tun: modprobe tun; chmod 666 /dev/net/tun; docker run --device /dev/net/tun";
  return result("network sandbox", "the outside is reached through pasta or slirp4netns", { message, fix });
}

/** Reports whether memory limits can be set on a step, and the available controllers. */
async function limitsResult(
  context: ProbeContext,
  step: Attempt | undefined,
  signal: AbortSignal,
): Promise<ProbeResult> {
  const hierarchies = findHierarchies(readHostFacts().mountInfoText);
  const missing = CONTROLLERS.filter((one) => !hierarchies.some(({ controllers }) => controllers.includes(one)));
  const notices: string[] = [];
  const versions = [
    ...new Set(hierarchies.filter(({ controllers }) => controllers.length > 0).map(({ version }) => `v${version}`)),
  ];
  const limits = { memoryBytes: 256 * 1024 * 1024 };
  const { message } = await tryStep(context, { ...step, limits, notices }, signal);
  const notice = notices.find((text) => text.includes("not enforced"));
  const works = `${versions.join(" and ")}${missing.length === 0 ? "" : `, without ${missing.join(", ")}`}`;
  const fix = "start kiln in a delegated group: systemd-run --user --scope -p Delegate=yes kiln build ...";
  return result("limits", works, { message: message ?? notice, fix });
}

function result(
  name: string,
  works: string,
  seen: { readonly message: string | undefined; readonly fix: string },
): ProbeResult {
  const ok = seen.message === undefined;
  return { name, ok, detail: seen.message ?? works, fix: ok ? undefined : seen.fix };
}
