import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { debug, timed } from "../../lib/core/debug.ts";
import { BuildError, errnoOf, unreachable } from "../../lib/core/errors.ts";
import type { Native } from "../../lib/native/native.ts";
import type { RunRequest, RunResult, Runtime } from "../ports.ts";
import { Cgroups } from "./cgroups.ts";
import { controlOf } from "./control.ts";
import { describePlan } from "./describe-plan.ts";
import { FrameReader } from "./frames.ts";
import type { HostFacts, UserNamespaceMap } from "./host.ts";
import { identityMap, readHostFacts, unmappedId } from "./host.ts";
import { forgetChanges, forgetVolatile } from "./fresh-overlay.ts";
import { networkHelperLack } from "./network-helper.ts";
import { readStepFacts } from "./plan-facts.ts";
import { encodePlan } from "./plan-writer.ts";
import { type Plan, type PlanFacts, writeChrootPlan, writePlan } from "./plan.ts";
import { capabilityMask } from "./policy/capabilities.ts";
import { Filters } from "./filters.ts";
import { beginKeeping, type OwnersBeyond, stateOf } from "./owners-beyond.ts";
import { defaultSeccompFilter, type SeccompFilter } from "./policy/seccomp.ts";
import { describeMissing, notAllowed, notMapped, partsToLeaveOut, type Refusal, type Rung, rungOf } from "./rung.ts";
import { Refused, type SandboxPart } from "./sandbox-parts.ts";
import {
  describeReport,
  describeWish,
  type End,
  parseEnd,
  RUN_AGAIN,
  RUN_AGAIN_WITH_RECORDS,
  runtimeError,
  type SandboxedResult,
} from "./step-end.ts";
import { StubLayers } from "./stub-layer.ts";
import { type StepReport, Workers } from "./workers.ts";

export interface RuntimeOptions {
  /** Host path of the program `kiln-runtime`. */
  readonly runtimePath: string;
  /**
   * Host directory for this runtime alone, made when missing: two empty directories to mount on and the shared stub
   * layers. Several kilns may use the same one at once.
   */
  readonly scratchDirectory: string;
  /** The snapshotter's `marks`. */
  readonly overlayMarks: "trusted" | "user";
  /** `process.arch` names; the filter is compiled for it. No filter exists for others, which `notice` is told. */
  readonly arch: string;
  /** Identifies this kiln's cgroups so that leftovers of dead ones can be told apart: `<pid>-<start time or random>`. */
  readonly instance: string;
  /** Makes every sandboxed step run in a user namespace of its own with this map. See docs/security.md. */
  readonly userNamespace?: UserNamespaceMap;
  /**
   * Set where the user namespace has a single id: all other owners and users are then pretended, and this host directory
   * holds what the files themselves cannot (lib/native/owner-record.h). See solver/runtime/program/pretend/pretend.c.
   */
  readonly ownersDirectory?: string | undefined;
  /** Set where it has many: owners beyond them, and devices, are written down there. */
  readonly ownersBeyond?: OwnersBeyond | undefined;
  /** Set where neither namespaces nor mounts are allowed, and steps get by with chroot. See docs/rootless.md. */
  readonly chroot?: { readonly native: Native } | undefined;
  /** Directories of PATH, where the program for `network: "sandbox"` is looked for. */
  readonly searchPath?: readonly string[];
  /** Asked once, when the first step is to run: what this machine allows. Absent: everything, or chroot where that is set. */
  readonly findRung?: (signal: AbortSignal) => Promise<Rung>;
  /** Told of each refusal, and of the parts that steps do without from then on. */
  readonly onRefusal?: (refusal: Refusal, parts: readonly SandboxPart[]) => void;
  /** Facts for tests; read from the machine otherwise. */
  readonly facts?: HostFacts;
  /** Told once about each thing this machine cannot do, and what that costs. */
  notice(message: string): void;
}

/**
 * Runs steps with kiln-runtime. Makes nothing until the first step runs; disposing ends the processes that wait for
 * further ones. What is not disposed ends with this program.
 */
export function createRuntime(options: RuntimeOptions): Runtime & Disposable {
  let driver: Driver | undefined;
  return {
    async run(request, signal) {
      if (driver === undefined) {
        const rung = (await options.findRung?.(signal)) ?? rungOf(options);
        // Another step may have asked at the same time.
        driver ??= new Driver(options, rung);
      }
      return driver.run(request, signal);
    },
    [Symbol.dispose]: () => driver?.[Symbol.dispose](),
  };
}

class Driver {
  readonly #options: RuntimeOptions;
  readonly #facts: HostFacts;
  readonly #stubs: StubLayers;
  /** The filter of steps that nothing is refused to. */
  readonly #openFilter: SeccompFilter | undefined;
  readonly #cgroups: Cgroups;
  readonly #workers: Workers;
  readonly #mayConfigureNetworks: boolean;
  readonly #rung: Rung;
  readonly #without: Set<SandboxPart>;
  readonly #answersProc: boolean;
  /** Calls can be stopped and answered, and the network is not of this user namespace. */
  readonly #canWatch: boolean;
  readonly #filters: Filters;
  #told: string | undefined;
  #toldNetwork = false;

  constructor(options: RuntimeOptions, rung: Rung) {
    this.#options = options;
    this.#rung = rung;
    this.#without = new Set(rung.kind === "namespaces" ? rung.without : []);
    this.#facts = options.facts ?? readHostFacts();
    this.#mayConfigureNetworks = (this.#facts.heldCapabilities & capabilityMask(["NET_ADMIN"])) !== 0n;
    for (const name of ["root", "tree"]) mkdirSync(join(options.scratchDirectory, name), { recursive: true });
    this.#stubs = new StubLayers(join(options.scratchDirectory, "stubs"));
    if (options.ownersDirectory !== undefined) options.notice(SINGLE_ID);
    if (rung.kind === "chroot") options.notice(CHROOT);
    this.#tellMissing();
    this.#answersProc = rung.kind === "chroot" && answersCalls(this.#facts.kernelRelease);
    const ids = options.ownersDirectory === undefined ? "real" : "pretended";
    this.#openFilter = ids === "real" ? undefined : defaultSeccompFilter(options.arch, { calls: "open", ids });
    this.#filters = new Filters(
      options.arch,
      rung.kind === "chroot" ? { ids: this.#answersProc ? "no proc" : "real", processes: "shared" } : { ids },
    );
    const isForeign = rung.kind === "namespaces" && this.#facts.userNamespace !== undefined;
    this.#canWatch = isForeign && answersCalls(this.#facts.kernelRelease);
    if (this.#filters.get("shared") === undefined) {
      options.notice(`no system call filter exists for ${options.arch}: steps run without seccomp`);
    }
    this.#workers = new Workers(options.runtimePath);
    this.#cgroups = new Cgroups({
      mountInfoText: this.#facts.mountInfoText,
      instance: options.instance,
      notice: (message) => options.notice(message),
    });
  }

  [Symbol.dispose](): void {
    this.#workers[Symbol.dispose]();
  }

  async run(request: RunRequest, signal: AbortSignal): Promise<RunResult> {
    signal.throwIfAborted();
    if (this.#rung.kind === "none") throw notAllowed(this.#rung.reasons);
    const { chroot, ownersDirectory } = this.#options;
    // Where only one id is real, every other is pretended.
    const missing = ownersDirectory === undefined ? unmappedId(request.user, this.#facts.userNamespace) : undefined;
    if (missing !== undefined) throw notMapped(missing);
    if (this.#rung.kind === "chroot" && chroot !== undefined) return this.#runChrooted(request, chroot.native, signal);
    for (;;) {
      try {
        // One after the other: each try leaves out what the one before was refused.
        // oxlint-disable-next-line no-await-in-loop
        const first = await this.#runSandboxed(request, signal);
        this.#tellMissing();
        // oxlint-disable-next-line no-await-in-loop
        const result = await this.#withRecords(request, first, signal);
        return await this.#withNetwork(request, result, signal);
      } catch (error) {
        if (!this.#doWithout(error)) throw error;
        forgetVolatile(request.root);
      }
    }
  }

  /**
   * Tells whether the sandbox was refused over an optional part, and turns that part off from now on. The command has
   * not run.
   */
  #doWithout(error: unknown): boolean {
    const refused = error instanceof BuildError && error.cause instanceof Refused ? error.cause : undefined;
    if (refused === undefined) return false;
    const parts = partsToLeaveOut(refused.part, this.#without);
    if (parts.length === 0) return false;
    for (const part of parts) this.#without.add(part);
    this.#options.onRefusal?.({ part: refused.part, message: refused.message }, parts);
    return true;
  }

  /** Once, and again only when further parts turn out to be missing. */
  #tellMissing(): void {
    const missing = describeMissing(this.#without);
    if (missing !== undefined && missing !== this.#told) this.#options.notice(missing);
    this.#told = missing;
  }

  /** Runs a step again, from then on with records, where it was refused an owner or a device. Its tree is then as it was before. */
  async #withRecords(request: RunRequest, result: SandboxedResult, signal: AbortSignal): Promise<SandboxedResult> {
    const { ownersBeyond } = this.#options;
    if (!result.ownerWish || ownersBeyond === undefined) return result;
    beginKeeping(ownersBeyond);
    if (request.root.kind !== "overlay" || request.stdio.kind !== "pipes") return result;
    this.#options.notice(RUN_AGAIN_WITH_RECORDS);
    forgetChanges(request.root);
    return this.#runSandboxed(request, signal);
  }

  /** Treatment of owners beyond the ids, and of devices. A step with all privileges does without. */
  #ownersFor({ security }: RunRequest): PlanFacts["owners"] {
    const { ownersBeyond } = this.#options;
    if (ownersBeyond === undefined || !this.#canWatch || security !== "sandbox") return undefined;
    return { ...ownersBeyond, state: stateOf(ownersBeyond) };
  }

  /** Runs a step again in a network of its own where it failed for want of one. Its tree is then as it was before. */
  async #withNetwork(request: RunRequest, result: SandboxedResult, signal: AbortSignal): Promise<RunResult> {
    const { networkWish, ownerWish: _wish, ...plain } = result;
    if (networkWish === undefined || result.exitCode === 0) return plain;
    const { searchPath = [] } = this.#options;
    const isHostRoot = this.#facts.userNamespace === undefined;
    const canRepeat = request.root.kind === "overlay" && request.stdio.kind === "pipes";
    const lack = networkHelperLack({ searchPath, isHostRoot }) ?? (canRepeat ? undefined : "give --network=sandbox");
    if (lack !== undefined) {
      return { ...plain, hint: `the step asked for ${networkWish}, which a network of its own would give: ${lack}` };
    }
    if (!this.#toldNetwork) this.#options.notice(`${networkWish} ${RUN_AGAIN}`);
    this.#toldNetwork = true;
    forgetChanges(request.root);
    try {
      const {
        networkWish: _,
        ownerWish: _again,
        ...again
      } = await this.#runSandboxed({ ...request, network: "sandbox" }, signal);
      return again;
    } catch (error) {
      if (!(error instanceof BuildError)) throw error;
      return {
        ...plain,
        hint: `the step asked for ${networkWish}, and a network of its own cannot be made: ${error.message}`,
      };
    }
  }

  async #runSandboxed(request: RunRequest, signal: AbortSignal): Promise<SandboxedResult> {
    const isFiltered = request.unfiltered !== true;
    const isSandboxed = request.security === "sandbox" && isFiltered;
    const network = request.network !== "default" ? "own" : this.#canWatch ? "watched" : "shared";
    const owners = isFiltered ? this.#ownersFor(request) : undefined;
    using cgroup = this.#cgroups.enter({
      limits: request.limits,
      parent: request.cgroupParent,
      // In a user namespace no new node can be opened, whatever a group allows, and no process may attach a filter.
      devices: request.security === "sandbox" && this.#facts.userNamespace === undefined ? "listed" : "all",
    });
    const plan = writePlan(request, {
      host: this.#facts,
      scratchDirectory: this.#options.scratchDirectory,
      stubDirectory: this.#stubs.directory,
      overlayMarks: this.#options.overlayMarks,
      seccomp: isSandboxed ? this.#filters.get(network, owners) : this.#openFilter,
      watchesNetwork: isSandboxed && network === "watched",
      owners,
      cgroup: cgroup?.placement,
      userNamespace: this.#userNamespaceFor(request),
      ownersDirectory: this.#options.ownersDirectory,
      without: this.#without,
      ...readStepFacts(request, { host: this.#facts, searchPath: this.#options.searchPath ?? [] }),
    });
    const end = await this.#execute(plan, request.stdio, signal);
    const usage = cgroup?.usage();
    return {
      exitCode: end.signal === 0 ? end.code : 128 + end.signal,
      oomKilled: usage?.oomKilled ?? false,
      wallMs: end.wallUs / 1000,
      cpuMs: (usage?.cpuUs ?? end.cpuUs) / 1000,
      peakMemoryBytes: usage?.peakMemoryBytes ?? end.maxRssKib * 1024,
      readBytes: this.#facts.countsIo ? end.readBytes : undefined,
      writtenBytes: this.#facts.countsIo ? end.writtenBytes : undefined,
      networkWish: describeWish(end.networkWish),
      ownerWish: end.ownerWish,
    };
  }

  async #runChrooted(request: RunRequest, native: Native, signal: AbortSignal): Promise<RunResult> {
    if (request.network === "none" || request.network === "sandbox") {
      throw new BuildError(
        "runtime/failed",
        "Cannot keep the command from this container's network: namespaces are not allowed here",
        {
          hint: '"kiln doctor" says how to allow them; without --network the step has this container\'s network',
        },
      );
    }
    if (request.security === "insecure") {
      throw new BuildError(
        "runtime/failed",
        "Cannot give the command more privileges: this container has none to give",
        {
          hint: "build where containers may be privileged, or without --security=insecure",
        },
      );
    }
    if (request.shmSizeBytes !== undefined) {
      this.#options.notice("--shm-size has no effect: /dev/shm is a directory where nothing can be mounted");
    }
    if (Object.values(request.limits).some((limit) => limit !== undefined)) {
      this.#options.notice("limits on memory and processors are not enforced: this container allows no cgroups");
    }
    const facts = this.#facts;
    const { furnishRoot } = await import("./chroot-root.ts");
    const seccomp = this.#filters.get(request.network === "default" ? "shared" : "own");
    await using root = await furnishRoot(request, { native, marks: this.#options.overlayMarks, facts }, signal);
    const plan = writeChrootPlan(request, {
      host: facts,
      seccomp,
      root: root.path,
      answersProc: this.#answersProc && seccomp !== undefined,
    });
    const end = await this.#execute(plan, request.stdio, signal);
    for (const target of root.writtenCopies()) this.#options.notice(`${WRITTEN} ${target}`);
    return {
      exitCode: end.signal === 0 ? end.code : 128 + end.signal,
      oomKilled: false,
      wallMs: end.wallUs / 1000,
      cpuMs: end.cpuUs / 1000,
      peakMemoryBytes: end.maxRssKib * 1024,
      readBytes: facts.countsIo ? end.readBytes : undefined,
      writtenBytes: facts.countsIo ? end.writtenBytes : undefined,
    };
  }

  /**
   * Makes the user namespace map. With a single id, a step of another user than root gets a namespace in which that id
   * has the number of its USER.
   */
  #userNamespaceFor({ user, security, network }: RunRequest): UserNamespaceMap | undefined {
    if (this.#options.ownersDirectory !== undefined && (user.uid !== 0 || user.gid !== 0)) {
      return { uidMap: `${user.uid} 0 1`, gidMap: `${user.gid} 0 1`, setgroups: "deny" };
    }
    // A process that may not configure a network gets one of its own with a user namespace.
    const isOwnNetwork = network === "none" || network === "sandbox";
    if (isOwnNetwork && !this.#mayConfigureNetworks) return identityMap(this.#facts.userNamespace);
    return security === "sandbox" ? this.#options.userNamespace : undefined;
  }

  /** Resolves when nothing of the step runs or is mounted any more. */
  async #execute(plan: Plan, stdio: RunRequest["stdio"], signal: AbortSignal): Promise<End> {
    debug("runtime", () => `plan:\n${describePlan(plan)}`);
    const encoded = encodePlan(plan.directives);
    for (const layer of plan.stubLayers) this.#stubs.make(layer);
    if (stdio.kind === "inherit") return this.#executeBeforeCaller(encoded, signal);
    const run = (): Promise<StepReport> =>
      this.#workers.run(encoded, (stream, chunk) => stdio.onOutput(stream, chunk), signal);
    const report = await timed("runtime", "sandbox", run);
    debug("runtime", () => describeReport(report));
    switch (report.kind) {
      case "end":
        return parseEnd(report.text);
      case "failure":
        throw runtimeError(report.text, report.refused);
      case "unstartable":
        throw this.#spawnError(report.cause);
      default:
        return unreachable(report);
    }
  }

  /** A process of kiln-runtime with the caller's own standard streams, for one command. */
  #executeBeforeCaller(plan: Uint8Array, signal: AbortSignal): Promise<End> {
    const child = spawn(this.#options.runtimePath, ["run"], {
      // A directory that cannot be inside a build, and no environment: the command's comes with the plan.
      cwd: "/",
      env: {},
      stdio: ["inherit", "inherit", "inherit", "pipe"],
    });
    const control = controlOf(child);
    return new Promise<End>((resolve, reject) => {
      const frames = new FrameReader();
      let end: End | undefined;
      let failure: string | undefined;
      let refused: string | undefined;

      // An interactive command ends in its own way: the runtime forwards the signal.
      const abort = (): void => void child.kill(isInterrupt(signal.reason) ? "SIGURG" : "SIGTERM");
      signal.addEventListener("abort", abort, { once: true });
      const settle = (finish: () => void): void => {
        signal.removeEventListener("abort", abort);
        finish();
      };

      control.on("data", (chunk: Buffer) => {
        for (const frame of frames.push(chunk)) {
          if (frame.kind === "q") end = parseEnd(frame.data.toString("latin1"));
          else if (frame.kind === "x") failure = frame.data.toString();
          else if (frame.kind === "r") refused = frame.data.toString("latin1");
        }
        // The report is the runtime's last act, after everything inside is dead and unmounted: no need to wait for more.
        const reported = end;
        if (reported !== undefined && failure === undefined) settle(() => resolve(reported));
      });
      control.on("error", (error) => {
        // The runtime may die before it has read its plan (EPIPE); its exit then tells the story.
        failure ??= `the runtime closed its descriptor: ${error.message}`;
      });
      child.once("error", (error) => settle(() => reject(this.#spawnError(error))));
      child.once("close", (code, killedBy) => {
        settle(() => {
          if (signal.aborted) reject(signal.reason);
          else {
            const text = failure ?? `the runtime ended without a report (${killedBy ?? `status ${code}`})`;
            reject(runtimeError(text, refused));
          }
        });
      });
      control.write(plan);
    });
  }

  #spawnError(cause: Error): BuildError {
    const path = this.#options.runtimePath;
    const missing = errnoOf(cause) === "ENOENT";
    return new BuildError(missing ? "runtime/missing" : "runtime/failed", `Cannot start "${path}": ${cause.message}`, {
      cause,
      hint: missing ? 'build it with "npm run build" (needs make and a C compiler)' : undefined,
    });
  }
}

/** Tells whether Ctrl-C was the reason, which is then the command's too: SIGURG is the runtime's word for it. */
function isInterrupt(reason: unknown): boolean {
  return reason instanceof BuildError && reason.cause === "SIGINT";
}

/** Tells whether a system call can be answered with a descriptor, `SECCOMP_ADDFD_FLAG_SEND`: Linux 5.14. */
function answersCalls(kernelRelease: string): boolean {
  const [major = 0, minor = 0] = kernelRelease.split(".").map((part) => Number.parseInt(part, 10));
  return major > 5 || (major === 5 && minor >= 14);
}

const WRITTEN =
  "nothing can be mounted here to refuse it: a command has written to what it may only read, the mount at";

const CHROOT =
  "neither namespaces nor mounts are allowed here: each RUN works in a copy of its tree, sees a small part of /proc and shares processes and network " +
  'with this container; "kiln doctor" says how to do better';

const SINGLE_ID =
  "only your own user exists in this user namespace: other owners and users are pretended, layers carry them, and commands that " +
  'look at many files take longer; "kiln doctor" says how to get subordinate ids';
