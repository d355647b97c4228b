import { Readable } from "node:stream";
import { isAbsolute, posix } from "node:path";
import { BuildError } from "../../lib/core/errors.ts";
import type { ProgressSink } from "../../lib/core/progress.ts";
import { entryText, type EntryKind } from "../bake/entries.ts";
import type { Target } from "../bake/definition.ts";
import { isList, isMap, toText, type Value } from "../bake/hcl/value.ts";
import { linkedTargets, type Plan } from "../bake/resolve.ts";
import { build } from "../engine/build.ts";
import type { BuildResult } from "../engine/build-result.ts";
import { Engine } from "../engine/engine.ts";
import { metadataOf } from "../engine/metadata.ts";
import type { BuildOptions } from "../engine/options.ts";
import { jobsOf } from "../engine/solve-build.ts";
import { SharedSchedule } from "../../solver/shared-schedule.ts";
import { STORE_OUTPUT } from "../export/output-spec.ts";
import { reportResult } from "./build-report.ts";
import { runCall } from "./call.ts";
import { buildOptions, callOf } from "./commands/build.ts";
import type { CommandContext } from "./context.ts";
import type { BuildFlags } from "./flags/build-flags.ts";
import { ignoredFlags } from "./flags/accepted.ts";
import { cacheNotices } from "./flags/cache.ts";
import { outputNotices } from "./flags/outputs.ts";
import { openProgress, progressMode } from "./progress-output.ts";
import { checkResultFiles, writeResultFile } from "./result-files.ts";
import { SharedDisplay } from "./target-progress.ts";

/** Flags that concern all targets. */
export interface PlanFlags {
  readonly allow: readonly string[];
  readonly progress?: string;
  readonly quiet?: boolean;
  readonly metadataFile?: string;
  readonly offline?: boolean;
  readonly jobs?: string;
}

/** Builds at one time. Their steps have one limit together. */
const MAX_BUILDS = 32;

interface PlannedBuild {
  readonly target: Target;
  readonly options: BuildOptions;
  /** Names of contexts, each with the target whose image it is. */
  readonly links: ReadonlyMap<string, string>;
  readonly flags: BuildFlags;
}

/**
 * Builds all targets of a plan as one piece of work, each as soon as the targets in its contexts are built: one schedule
 * with one limit of steps, in which what several have in common runs once and is shown once.
 * @returns the status of `--call`
 */
export async function bakePlan(context: CommandContext, plan: Plan, flags: PlanFlags): Promise<number | void> {
  const builds = new Map(
    [...plan.targets].map(([name, target]) => [name, plannedBuild(context, target, plan, flags)] as const),
  );
  const asked = [...builds.values()].filter(({ target }) => !plan.linked.has(target.name));
  const calls = asked.filter((one) => callOf(one.flags).method !== "build");
  if (calls.length > 0) return callAll(context, calls);
  const files = { iidfile: undefined, metadataFile: flags.metadataFile || undefined };
  checkResultFiles(context, files);
  const notices = [...builds.values()].flatMap((one) => [
    ...ignoredFlags(one.flags),
    ...outputNotices(one.flags.output),
    ...cacheNotices(one.flags),
  ]);
  for (const notice of new Set(notices)) context.warn(`WARNING: ${notice}`);
  const mode = progressMode(flags.progress, flags.quiet === true, context.host);
  const display = openProgress(mode, context.host);
  let results: ReadonlyMap<string, BuildResult>;
  try {
    results = await new Bakery(context, builds, display.sink).run();
    display.finish("success");
  } catch (error) {
    display.finish("failure");
    throw error;
  }
  for (const { target } of asked) {
    const result = results.get(target.name);
    if (result !== undefined)
      await reportResult(context, result, { mode, iidfile: undefined, metadataFile: undefined });
  }
  if (files.metadataFile !== undefined) {
    const withWarnings = /^(1|true)$/i.test(context.host.env["BUILDX_METADATA_WARNINGS"] ?? "");
    const metadata = Object.fromEntries([...results].map(([name, result]) => [name, metadataOf(result, withWarnings)]));
    await writeResultFile(
      context,
      "--metadata-file",
      files.metadataFile,
      `${JSON.stringify(metadata, undefined, 2)}\n`,
    );
  }
}

async function callAll(context: CommandContext, builds: readonly PlannedBuild[]): Promise<number> {
  let status = 0;
  for (const { target, options, flags } of builds) {
    const call = callOf(flags);
    if (call.method === "build") continue;
    if (builds.length > 1) context.print(`[${target.name}]`);
    const environment = environmentOf(context, target);
    const own = { ...context, environment, openEngine: () => new Engine(environment, { progress: () => {} }) };
    status = Math.max(status, await runCall(own, options, { ...call, method: call.method }));
  }
  return status;
}

/** Runs builds in the order that their contexts ask for. */
class Bakery {
  readonly #context: CommandContext;
  readonly #builds: ReadonlyMap<string, PlannedBuild>;
  readonly #shown: (name: string) => Pick<BuildOptions, "progress" | "onKeys">;
  readonly #schedule: SharedSchedule | undefined;
  readonly #running = new Map<string, Promise<BuildResult>>();
  readonly #waiting: (() => void)[] = [];
  readonly #stop = new AbortController();
  #busy = 0;

  constructor(context: CommandContext, builds: ReadonlyMap<string, PlannedBuild>, sink: ProgressSink) {
    this.#context = context;
    this.#builds = builds;
    const [first] = builds.values();
    const isOne = builds.size === 1;
    this.#schedule = isOne ? undefined : new SharedSchedule(jobsOf(first?.options.jobs, context.environment));
    const display = new SharedDisplay(sink);
    this.#shown = (name) => {
      if (isOne) return { progress: sink };
      const target = display.target(name);
      return { progress: (event) => target.show(event), onKeys: (keys) => target.keyed(keys) };
    };
  }

  /** Builds everything; the first failure stops the other builds. */
  async run(): Promise<ReadonlyMap<string, BuildResult>> {
    const work = [...this.#builds.keys()].map(async (name) => [name, await this.#result(name)] as const);
    const settled = await Promise.allSettled(work);
    const failures = settled.flatMap((one): unknown[] => (one.status === "rejected" ? [one.reason] : []));
    if (failures.length > 0) {
      this.#context.signal.throwIfAborted();
      throw failures.find((error) => error !== this.#stop.signal.reason) ?? failures[0];
    }
    return new Map(settled.flatMap((one) => (one.status === "fulfilled" ? [one.value] : [])));
  }

  #result(name: string): Promise<BuildResult> {
    const running = this.#running.get(name) ?? this.#build(name);
    this.#running.set(name, running);
    return running;
  }

  async #build(name: string): Promise<BuildResult> {
    const planned = this.#builds.get(name);
    if (planned === undefined) throw new Error(`No target ${name} in the plan`);
    const contexts = { ...planned.options.contexts };
    for (const [context, target] of planned.links) contexts[context] = imageOf(target, await this.#result(target));
    const signal = AbortSignal.any([this.#context.signal, this.#stop.signal]);
    await this.#enter();
    try {
      signal.throwIfAborted();
      return await build(
        { ...planned.options, contexts, part: name, schedule: this.#schedule, ...this.#shown(name) },
        environmentOf(this.#context, planned.target),
        signal,
      );
    } catch (error) {
      const own =
        error instanceof BuildError && this.#builds.size > 1 && !signal.aborted
          ? error.with({ message: `target ${name}: ${error.message}` })
          : error;
      this.#stop.abort(new BuildError("build/cancelled", "Cancelled, because another target failed"));
      throw own;
    } finally {
      this.#leave();
    }
  }

  async #enter(): Promise<void> {
    if (this.#busy >= MAX_BUILDS) await new Promise<void>((resolve) => void this.#waiting.push(resolve));
    else this.#busy += 1;
  }

  /** Gives the place to the build that waits longest. */
  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#busy -= 1;
    else next();
  }
}

/** Gives a target's inline Dockerfile to its build as standard input. */
function environmentOf({ environment }: CommandContext, target: Target): CommandContext["environment"] {
  const inline = text(target, "dockerfile-inline");
  return inline === undefined ? environment : { ...environment, stdin: () => Readable.from([Buffer.from(inline)]) };
}

/** Names the image of a built target, which the store has: its digest says which, whatever the name means elsewhere. */
function imageOf(target: string, { manifest }: BuildResult): string {
  if (manifest === undefined)
    throw new BuildError("bake/definition", `Cannot use target ${target} as a context: it makes no image`);
  return `docker-image://kiln.local/${target.toLowerCase()}@${manifest.digest}`;
}

function plannedBuild(context: CommandContext, target: Target, plan: Plan, flags: PlanFlags): PlannedBuild {
  const isUsed = [...plan.targets.values()].some((other) => linkedTargets(other).includes(target.name));
  const made = flagsOf(target, flags);
  const source = text(target, "context") ?? ".";
  if (source === "-" || text(target, "dockerfile") === "-") {
    throw new BuildError(
      "bake/definition",
      `Cannot build target ${target.name}: bake takes no context and no Dockerfile from standard input`,
    );
  }
  const options = buildOptions(context, source.replace(/^cwd:\/\//, "") || ".", made);
  const outputs = plan.linked.has(target.name) ? [] : (options.outputs ?? []);
  const links = new Map(
    members(target, "contexts").flatMap(([name, value]) =>
      value.startsWith("target:") ? [[name, value.slice("target:".length)] as const] : [],
    ),
  );
  return {
    target,
    flags: made,
    links,
    options: { ...options, outputs: isUsed ? [STORE_OUTPUT, ...outputs] : outputs },
  };
}

/** Writes a target as the flags of `kiln build`, so that both mean the same. */
function flagsOf(target: Target, { allow, offline, jobs }: PlanFlags): BuildFlags {
  const outputs = list(target, "output");
  const isLoad = (entry: Value): boolean =>
    isMap(entry) && entry.get("type") === "docker" && !entry.has("dest") && !entry.has("context");
  const pairs = (name: string): string[] => members(target, name).map(([key, value]) => `${key}=${value}`);
  const attest = list(target, "attest").filter(isMap);
  const call = text(target, "call");
  const shm = text(target, "shm-size");
  const network = text(target, "network");
  const stage = text(target, "target");
  return {
    file: dockerfileOf(target),
    tag: texts(target, "tags"),
    ...(stage === undefined ? {} : { target: stage }),
    platform: texts(target, "platforms"),
    buildArg: pairs("args"),
    buildContext: members(target, "contexts")
      .filter(([, value]) => !value.startsWith("target:"))
      .map(([name, value]) => `${name}=${value.replace(/^cwd:\/\//, "") || "."}`),
    label: pairs("labels"),
    annotation: texts(target, "annotations"),
    output: outputs.filter((entry) => !isLoad(entry)).map((entry) => entryText("output", entry)),
    ...(outputs.some(isLoad) ? { load: "" } : {}),
    cache: target.fields.get("no-cache") !== true,
    noCacheFilter: texts(target, "no-cache-filter"),
    cacheFrom: entryTexts(target, "cache-from", "cache"),
    cacheTo: entryTexts(target, "cache-to", "cache"),
    cacheTrust: [],
    ...(target.fields.get("pull") === true ? { pull: true } : {}),
    ...(offline === true ? { offline } : {}),
    ...(jobs === undefined ? {} : { jobs }),
    secret: entryTexts(target, "secret", "secret"),
    ssh: entryTexts(target, "ssh", "ssh"),
    ...(network === undefined ? {} : { network }),
    // What is asked for has been allowed.
    allow: [
      ...texts(target, "entitlements"),
      ...allow.filter((one) => one !== "ssh" && !/^fs(?:\.read|\.write)?=/.test(one)),
    ],
    addHost: pairs("extra-hosts"),
    ulimit: texts(target, "ulimits"),
    ...(shm === undefined ? {} : { shmSize: shm }),
    resource: [],
    remoteHeader: [],
    remoteProperty: [],
    ...(call === undefined ? {} : { call }),
    attest: attest.map((entry) => entryText("attest", entry)),
  };
}

/** Locates the Dockerfile: inside the context, unless it is absolute; that of a remote context is one of its files. */
function dockerfileOf(target: Target): string {
  if (target.fields.has("dockerfile-inline")) return "-";
  const file = text(target, "dockerfile") ?? "Dockerfile";
  const source = text(target, "context") ?? ".";
  if (file.startsWith("cwd://")) return file.slice("cwd://".length);
  if (isAbsolute(file) || /^(?:https?|git|ssh):\/\/|^git@|^github\.com\//.test(source) || /^https?:\/\//.test(file))
    return file;
  return posix.join(source.replace(/^cwd:\/\//, ""), file);
}

function text({ fields }: Target, name: string): string | undefined {
  return toText(fields.get(name) ?? null);
}

function list({ fields }: Target, name: string): readonly Value[] {
  const value = fields.get(name) ?? null;
  return isList(value) ? value : [];
}

function texts(target: Target, name: string): string[] {
  return list(target, name).map((item) => toText(item) ?? "");
}

function members({ fields }: Target, name: string): [string, string][] {
  const value = fields.get(name) ?? null;
  return isMap(value) ? [...value].map(([key, item]) => [key, toText(item) ?? ""]) : [];
}

function entryTexts(target: Target, name: string, kind: EntryKind): string[] {
  return list(target, name).map((entry) => entryText(kind, entry));
}
