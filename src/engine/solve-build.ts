import { resolve } from "node:path";
import { digestOf } from "../../lib/core/digest.ts";
import type { Result } from "../export/exporter.ts";
import { wantsFiles } from "../export/output-spec.ts";
import { proxyEnvironment } from "../../frontend/convert/platform-args.ts";
import type { SolveOptions, SolveResult, SolverDeps } from "../../solver/deps.ts";
import type { Graph } from "../../solver/graph/graph.ts";
import type { RemoteSteps } from "../../solver/ports.ts";
import { solve } from "../../solver/solve.ts";
import { LocalSource } from "../../solver/sources/local/local-source.ts";
import { carriesSbom } from "./attest/wanted-attestations.ts";
import type { PartsOf } from "./build-parts.ts";
import type { Engine } from "./engine.ts";
import type { BuildEnvironment } from "./environment.ts";
import type { EarlyPush } from "./images/early-push.ts";
import type { LayerPacker } from "./images/layer-packer.ts";
import { BasesMoved } from "./images/moved-bases.ts";
import { resultImage } from "./images/result-images.ts";
import { explainMissingSource } from "./missing-source.ts";
import type { BuildOptions } from "./options.ts";
import { planOf } from "./plan.ts";
import type { PreparedBuild } from "./prepare.ts";

/** A build with results for all steps. */
export interface SolvedBuild {
  readonly prepared: PreparedBuild;
  /** The graphs of all platforms as one. */
  readonly graph: Graph;
  readonly outcomes: SolveResult["outcomes"];
  /** The images, without attestations. */
  readonly result: Result;
}

type SolveParts = PartsOf<
  "options" | "progress" | "reporter" | "names" | "outputs" | "imports" | "mounts" | "moved" | "artifacts",
  "environment" | "store" | "native" | "snapshotter" | "runtime" | "isolation" | "images" | "clusters" | "layers"
>;

/** Work on layers while steps still run. */
export interface LayerWork {
  readonly packer: LayerPacker;
  /** Present for a build that is pushed. */
  readonly early: EarlyPush | undefined;
}

/** Minimum of concurrent steps: they wait for networks and disks more than they compute. */
const LEAST_JOBS = 4;

/** Returns the limit of concurrent steps. */
export function jobsOf(asked: number | undefined, { processors }: Pick<BuildEnvironment, "processors">): number {
  return asked ?? Math.max(LEAST_JOBS, processors);
}

/**
 * Solves the graphs of all platforms together; layers are packed, and pushed, while steps still run.
 * @throws {BasesMoved} before anything runs, when registries report moved base images
 */
export async function solveBuild(
  prepared: PreparedBuild,
  parts: SolveParts,
  { packer, early }: LayerWork,
  signal: AbortSignal,
): Promise<SolvedBuild> {
  const { reporter, engine } = parts;
  using locals = openLocals(prepared.directories, engine);
  const graph = graphOf(prepared);
  reporter.solving(graph);
  const { options, outputs } = parts;
  parts.progress(planOf(graph, { id: reporter.about.id, outputs, options, atMs: engine.environment.nowMs() }));
  early?.expect(prepared.conversions);
  parts.artifacts?.begin(prepared.conversions);
  const remoteSteps = await openRemote(parts, packer, signal);
  try {
    const solved = await solve(
      graph,
      {
        ...solverDeps(prepared, parts, packer, locals.sources),
        isolation: await engine.isolation(graph, signal),
        remoteSteps,
      },
      solveOptions(prepared, parts, { packer, early }),
      signal,
    );
    reporter.solved(solved.outcomes);
    locals.save();
    const targets = [...solved.targets];
    const images = [];
    for (const conversion of prepared.conversions) {
      // A conversion without a target is an empty file system and has no entry among the solved ones.
      const layers = conversion.target === undefined ? [] : (targets.shift()?.layers ?? []);
      images.push(await resultImage(conversion, layers, { store: engine.store, packer }, signal));
    }
    const result = { images, multiPlatform: prepared.multiPlatform, names: parts.names };
    return { prepared, graph, outcomes: solved.outcomes, result };
  } catch (error) {
    early?.stop(error);
    packer.stop(error);
    throw explainMissingSource(error, prepared.ignored);
  }
}

async function openRemote(
  { engine, options, progress }: SolveParts,
  packer: LayerPacker,
  signal: AbortSignal,
): Promise<RemoteSteps | undefined> {
  if (options.remote === undefined) return undefined;
  const { openRemoteSteps } = await import("./cluster/open-steps.ts");
  return openRemoteSteps(options.remote, { engine, packer, progress }, signal);
}

function graphOf({ conversions }: PreparedBuild): Graph {
  const [first, ...others] = conversions;
  const targets = conversions.flatMap((conversion) => conversion.target ?? []);
  if (first !== undefined && others.length === 0) return { targets, meta: first.meta };
  return { targets, meta: new Map(conversions.toReversed().flatMap((conversion) => [...conversion.meta])) };
}

function solverDeps(
  { http, git, secrets, ssh }: PreparedBuild,
  { engine, imports, mounts, progress }: SolveParts,
  packer: LayerPacker,
  locals: SolverDeps["locals"],
): SolverDeps {
  const { store, native, snapshotter, runtime, images, environment } = engine;
  return {
    store: { ...store, records: imports.records, cacheMounts: mounts },
    native,
    snapshotter,
    runtime,
    images,
    locals,
    http,
    git,
    digests: packer,
    secrets,
    ssh,
    clock: environment,
    progress,
    ...(imports.remote === undefined ? {} : { remote: imports.remote }),
  };
}

function solveOptions(
  { buildArgs, context }: PreparedBuild,
  { engine, options, outputs, moved, reporter, artifacts }: SolveParts,
  { packer, early }: LayerWork,
): SolveOptions {
  return {
    jobs: jobsOf(options.jobs, engine.environment),
    schedule: options.schedule,
    exec: {
      proxyEnv: proxyEnvironment(buildArgs),
      hostAddresses: options.extraHosts ?? [],
      limits: options.limits ?? {},
      entitlements: grantedEntitlements(options),
      network: options.network ?? "default",
    },
    ...(options.expectCached === undefined
      ? {}
      : { expectCached: options.expectCached === "all" ? "all" : new Set(options.expectCached) }),
    ...(isWhole(context) ? { wholeContexts: new Set(["context"]) } : {}),
    lineage: lineageOf(options),
    resultIsRead: outputs.some((output) => wantsFiles(output) || carriesSbom(output, options)),
    onPlanned: async (keys) => {
      artifacts?.planned(keys);
      options.onKeys?.(keys);
      const bases = await moved.settle();
      if (bases.length > 0) throw new BasesMoved(bases);
    },
    onCommitted: (snapshot, vertex) => {
      // A layer that is sent is measured while it is packed.
      if (early?.wants(vertex) !== true) packer.start(snapshot);
    },
    onLayers: (vertex, layers) => {
      early?.add(vertex, layers);
      reporter.made(vertex, layers);
      artifacts?.made(vertex, layers);
    },
    onFailed: (vertex, layers) => artifacts?.failed(vertex, layers),
    onMiss: (vertex, miss) => reporter.missed(vertex, miss),
    onLog: (vertex, name) => reporter.logged(vertex, name),
  };
}

/** Returns the entitlements of `--allow`; `--network=host` grants the host's network by itself. */
function grantedEntitlements({ allow = [], network }: BuildOptions): ReadonlySet<"network.host" | "security.insecure"> {
  const granted = new Set(allow.filter((name) => name !== "buildx.local.delete"));
  return network === "host" ? granted.add("network.host") : granted;
}

/** Tells whether a context was loaded from elsewhere as a whole. */
function isWhole({ owners, sourceDate }: PreparedBuild["context"]): boolean {
  return owners === "kept" || sourceDate !== undefined;
}

/** Makes digests that builds of one project share; a digest, because a context may be a URL with credentials. */
function lineageOf({ context, dockerfile = "", tags = [] }: BuildOptions): readonly string[] {
  const place = URL.canParse(context) ? context : resolve(context);
  return [`${place} ${dockerfile}`, ...tags].map((name) => digestOf(name).slice(0, 31));
}

interface OpenLocals extends Disposable {
  readonly sources: ReadonlyMap<string, LocalSource>;
  /** Keeps the indexes of file digests for the next build. */
  save(): void;
}

/** Opens the local contexts that are read, with their indexes of file digests. */
function openLocals(
  directories: PreparedBuild["directories"],
  { store, native, environment }: Pick<Engine, "store" | "native" | "environment">,
): OpenLocals {
  const sources = new Map(
    [...directories].map(([name, directory]) => [
      name,
      new LocalSource({
        native,
        directory,
        index: {
          load: () => store.facts.loadStatIndex(directory),
          save: (bytes) => store.facts.saveStatIndex(directory, bytes),
        },
        fingerprints: {
          load: () => store.facts.get("fingerprints", directory)?.value,
          save: (bytes) => store.facts.set("fingerprints", directory, { value: bytes }),
        },
        nowNs: () => BigInt(environment.nowMs()) * 1_000_000n,
      }),
    ]),
  );
  return {
    sources,
    save: () => {
      for (const source of sources.values()) source.save();
    },
    [Symbol.dispose]: () => {
      for (const source of sources.values()) source[Symbol.dispose]();
    },
  };
}
