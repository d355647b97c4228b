import { resolve } from "node:path";
import { exporterFor } from "./images/outputs.ts";
import { checkOutputs } from "./images/check-outputs.ts";
import { type Digest, digestOf } from "../../lib/core/digest.ts";
import type { Descriptor } from "../../lib/core/oci.ts";
import { familiarReference, formatReference, parseReference } from "../../lib/core/reference.ts";
import { type OutputSpec, STORE_OUTPUT } from "../export/output-spec.ts";
import type { Exported, Result } from "../export/exporter.ts";
import { proxyEnvironment } from "../../frontend/convert/platform-args.ts";
import type { Warning } from "../../frontend/lint/warning.ts";
import type { Graph } from "../../solver/graph/graph.ts";
import { lostLayer } from "../../solver/schedule/lost-layer.ts";
import { solve } from "../../solver/solve.ts";
import { LocalSource } from "../../solver/sources/local/local-source.ts";
import { createHttpSource } from "../../solver/sources/http/http-source.ts";
import type { ProgressSink } from "../../lib/core/progress.ts";
import type { SolveResult } from "../../solver/deps.ts";
import { TravellingMounts } from "./caches/cache-mounts.ts";
import { exportCaches } from "./caches/cache-export.ts";
import { checkAfterRestart } from "./after-restart.ts";
import { collectAfterBuild } from "./collect.ts";
import { Engine } from "./engine.ts";
import type { BuildEnvironment } from "./environment.ts";
import { LayerPacker } from "./images/layer-packer.ts";
import { BasesMoved, type MovedBase, MovedBases, PULL_TTL_MS } from "./images/moved-bases.ts";
import type { BuildOptions } from "./options.ts";
import { withInlineCaches } from "./caches/inline-cache.ts";
import { type PreparedBuild, prepareBuild, step } from "./prepare.ts";
import { type CacheImports, openImports } from "./caches/remote-cache.ts";
import {
  carriesAttestations,
  type RecordedProvenance,
  recordedProvenance,
  withProvenance,
} from "./attest/attested-result.ts";
import { resultImage } from "./images/result-images.ts";
import { explainMissingSource } from "./missing-source.ts";
import { Scratch } from "./scratch.ts";
import { type BuildReporter, reported } from "./report.ts";
import { checkSecrets } from "./secrets.ts";
import { withoutCredentials } from "../../lib/core/credentials.ts";

/** What a build made. */
export interface BuildResult {
  /** Digest of the image's configuration: what docker calls the image id. Absent for files, and for several platforms. */
  readonly imageId: Digest | undefined;
  /** The manifest, or for several platforms the index. */
  readonly manifest: Descriptor | undefined;
  /** The build's own name: builder, node and id, in buildx's form. */
  readonly ref: string;
  /** One per platform, when `recordProvenance` asks for it. */
  readonly provenance: readonly RecordedProvenance[];
  /** Full references the result was given. */
  readonly names: readonly string[];
  /** Findings of the build checks, in order of place. */
  readonly warnings: readonly Warning[];
  readonly steps: { readonly total: number; readonly cached: number };
}

/**
 * Builds an image. The whole of kiln as one function; the command line adds flags and a display.
 * @throws {BuildError} whose `code` says what went wrong; the store is then as it was, but for the steps that succeeded.
 */
export async function build(
  options: BuildOptions,
  environment: BuildEnvironment,
  signal: AbortSignal,
): Promise<BuildResult> {
  const progress: ProgressSink = options.progress ?? (() => {});
  await using engine = new Engine(environment, {
    progress,
    insecureRegistries: insecureRegistries(options),
    offline: options.offline === true,
  });
  await checkAfterRestart(engine, progress, signal);
  const result = await buildWith(engine, options, signal);
  if (result.steps.cached < result.steps.total) await collectAfterBuild(engine, progress, signal);
  return result;
}

/** Steps wait for networks and disks more than they compute: two processors can have more than two of them going. */
const LEAST_JOBS = 4;

/** `build`, with the engine that it opened. */
function buildWith(engine: Engine, options: BuildOptions, signal: AbortSignal): Promise<BuildResult> {
  const startedAtMs = engine.environment.nowMs();
  return reported(
    {
      id: `${startedAtMs.toString(36)}-${engine.environment.pid}`,
      startedAtMs,
      context: withoutCredentials(options.context),
      target: options.target,
      tags: options.tags ?? [],
    },
    { store: engine.store, onReport: options.onReport },
    (reporter) => buildAndExport(engine, options, reporter, signal),
  );
}

async function buildAndExport(
  engine: Engine,
  options: BuildOptions,
  reporter: BuildReporter,
  signal: AbortSignal,
): Promise<BuildResult> {
  const progress: ProgressSink = options.progress ?? (() => {});
  const names = [...new Set((options.tags ?? []).map((tag) => formatReference(parseReference(tag))))];
  const outputs = options.outputs ?? [STORE_OUTPUT];
  checkOutputs(outputs, options, engine.environment);
  await checkSecrets(options.secrets ?? [], engine.environment);
  const { from = [], trust = [] } = options.cache ?? {};
  const imports = await openImports({ from, trust }, engine, progress, signal);
  await using scratch = new Scratch(engine.scratchPath());
  await using moved = new MovedBases({
    images: engine.images,
    progress,
    clock: engine.environment,
    asks: askingOf(options),
    signal,
  });
  let prepared = await prepareBuild(engine, options, { scratch, progress, moved }, signal);
  const mounts = new TravellingMounts(engine, imports.remote, progress);
  const at = { names, progress, imports, mounts, reporter, outputs, moved };
  try {
    for (;;) {
      try {
        return await solveUntilExported(engine, options, prepared, at, signal);
      } catch (error) {
        if (!(error instanceof BasesMoved)) throw error;
        // Nothing has run yet: the build begins again, with what the registries say now.
        sayMoved(error.bases, progress);
        prepared = await prepared.again(error.bases);
      }
    }
  } finally {
    imports.remote?.finish();
  }
}

/** Marks that builds of one project have in common, as digests: a context may be a URL with credentials. */
function lineageOf({ context, dockerfile = "", tags = [] }: BuildOptions): readonly string[] {
  const place = URL.canParse(context) ? context : resolve(context);
  return [`${place} ${dockerfile}`, ...tags].map((name) => digestOf(name).slice(0, 31));
}

function askingOf({ pull, pullTtlMs, offline }: BuildOptions): "no" | { readonly ttlMs: number } {
  if (offline === true || pull === "never" || pull === "missing") return "no";
  return { ttlMs: pull === "newer" ? 0 : (pullTtlMs ?? PULL_TTL_MS) };
}

function sayMoved(bases: readonly MovedBase[], progress: ProgressSink): void {
  for (const name of new Set(bases.map(({ ref }) => familiarReference(parseReference(ref))))) {
    const message = `${name} is another image now than when it was pulled; the new one is used`;
    progress({ kind: "notice", level: "info", message, hint: undefined });
  }
}

async function solveUntilExported(
  engine: Engine,
  options: BuildOptions,
  prepared: PreparedBuild,
  at: BuildParts,
  signal: AbortSignal,
): Promise<BuildResult> {
  for (;;) {
    try {
      return await solveAndExport(engine, options, prepared, at, signal);
    } catch (error) {
      // An exporter wanted the bytes of a layer that a cache has lost. Without its records, the step runs.
      const lost = signal.aborted ? undefined : lostLayer(error);
      if (lost === undefined || engine.store.records.forgetLayer(lost.layer) === 0) throw error;
      at.imports.remote?.refuse(lost.layer);
      const message = `A cached layer cannot be exported, and its step runs again: ${lost.message}`;
      at.progress({ kind: "notice", level: "warning", message, hint: lost.hint });
    }
  }
}

interface BuildParts {
  readonly names: readonly string[];
  readonly progress: ProgressSink;
  readonly imports: CacheImports;
  readonly mounts: TravellingMounts;
  readonly reporter: BuildReporter;
  readonly outputs: readonly OutputSpec[];
  readonly moved: MovedBases;
}

async function solveAndExport(
  engine: Engine,
  options: BuildOptions,
  prepared: PreparedBuild,
  at: BuildParts,
  signal: AbortSignal,
): Promise<BuildResult> {
  const { progress, imports, mounts, outputs } = at;
  const { to = [], trust = [] } = options.cache ?? {};
  tellUnusedRewrite(prepared, outputs, progress);
  const { result, solved } = await makeResult(engine, options, prepared, at, signal);
  const whole = { options, prepared, reporter: at.reporter, solved };
  const attested = withProvenance(result, whole, engine, progress);
  const { records } = imports;
  const made = {
    graph: graphOf(prepared),
    outcomes: solved.outcomes,
    records,
    mounts: mounts.used,
    isTrusting: trust.length > 0,
  };
  const exported: Exported[] = [];
  for (const output of await withInlineCaches(outputs, to, made, engine, signal)) {
    const exporter = exporterFor(output, engine);
    if (exporter === undefined) continue;
    exported.push(
      await step(progress, engine.environment, exporter.description, () =>
        exporter.export(
          carriesAttestations(output, options) ? attested : result,
          { stepId: exporter.description, sink: progress, nowMs: () => engine.environment.nowMs() },
          signal,
        ),
      ),
    );
  }
  await exportCaches(to, made, { engine, progress }, signal);
  const outcomes = [...solved.outcomes.values()];
  return {
    imageId: exported.find((one) => one.configDigest !== undefined)?.configDigest,
    manifest: exported.find((one) => one.manifest !== undefined)?.manifest,
    ref: `kiln/kiln/${at.reporter.about.id}`,
    provenance: recordedProvenance(whole, engine),
    names: [...new Set(exported.flatMap((one) => one.names))],
    warnings: prepared.conversions[0]?.warnings ?? [],
    steps: { total: outcomes.length, cached: outcomes.filter((outcome) => outcome.how !== "ran").length },
  };
}

/** Solves the graphs of all platforms together and packs layers while steps still run. */
async function makeResult(
  engine: Engine,
  options: BuildOptions,
  prepared: PreparedBuild,
  at: BuildParts,
  signal: AbortSignal,
): Promise<{ readonly result: Result; readonly solved: SolveResult }> {
  const { environment, native, store, snapshotter } = engine;
  const { conversions } = prepared;
  using locals = openLocals(engine, prepared);
  const stop = new AbortController();
  const packer = new LayerPacker(
    { store, snapshotter, measure: (pack, s) => engine.packPool.measure(pack, s) },
    AbortSignal.any([signal, stop.signal]),
  );
  const graph = graphOf(prepared);
  at.reporter.solving(graph);
  try {
    const solved = await solve(
      graph,
      {
        store: { ...store, records: at.imports.records, cacheMounts: at.mounts },
        native,
        snapshotter,
        runtime: engine.runtime,
        isolation: engine.isolation,
        images: engine.images,
        locals: locals.sources,
        http: createHttpSource({
          store,
          fetch: engine.fetch,
          secrets: prepared.secrets,
          isOffline: options.offline === true,
        }),
        git: prepared.git,
        digests: packer,
        secrets: prepared.secrets,
        ssh: prepared.ssh,
        clock: environment,
        progress: at.progress,
        ...(at.imports.remote === undefined ? {} : { remote: at.imports.remote }),
      },
      {
        jobs: options.jobs ?? Math.max(LEAST_JOBS, environment.processors),
        exec: {
          proxyEnv: proxyEnvironment(prepared.buildArgs),
          hostAddresses: options.extraHosts ?? [],
          limits: options.limits ?? {},
          entitlements: grantedEntitlements(options),
          network: options.network ?? "default",
        },
        ...(options.expectCached === undefined
          ? {}
          : { expectCached: options.expectCached === "all" ? "all" : new Set(options.expectCached) }),
        ...(isWhole(prepared.context) ? { wholeContexts: new Set(["context"]) } : {}),
        lineage: lineageOf(options),
        resultIsRead: at.outputs.some(wantsFiles),
        onPlanned: async () => {
          const bases = await at.moved.settle();
          if (bases.length > 0) throw new BasesMoved(bases);
        },
        onCommitted: (snapshot) => packer.start(snapshot),
        onMiss: (vertex, miss) => at.reporter.missed(vertex, miss),
      },
      signal,
    );
    at.reporter.solved(solved.outcomes);
    locals.save();
    const targets = [...solved.targets];
    const images = [];
    for (const conversion of conversions) {
      // A conversion without a target is an empty file system and has no entry among the solved ones.
      const layers = conversion.target === undefined ? [] : (targets.shift()?.layers ?? []);
      images.push(await resultImage(conversion, layers, { store, packer }, signal));
    }
    return { result: { images, multiPlatform: prepared.multiPlatform, names: at.names }, solved };
  } catch (error) {
    stop.abort(error);
    throw explainMissingSource(error, prepared.ignored);
  } finally {
    await packer.settle();
  }
}

/** Whether a context came from elsewhere, as one piece. */
function isWhole({ owners, sourceDate }: PreparedBuild["context"]): boolean {
  return owners === "kept" || sourceDate !== undefined;
}

/** Says that `rewrite-timestamp` has no date to rewrite to. */
function tellUnusedRewrite(
  { conversions }: PreparedBuild,
  outputs: readonly OutputSpec[],
  progress: ProgressSink,
): void {
  const isDated = conversions.some(({ sourceDateEpoch }) => sourceDateEpoch !== undefined);
  const isUnused = outputs.some(
    (output) => "image" in output && output.image.rewriteTimestamp && output.image.sourceDateEpoch === undefined,
  );
  if (isDated || !isUnused) return;
  const message = "rewrite-timestamp is specified, but no source-date-epoch was found: times stay as they are";
  progress({ kind: "notice", level: "warning", message, hint: "give --build-arg SOURCE_DATE_EPOCH=SECONDS" });
}

/** Whether an output needs the files of the result, and not only its layers. */
function wantsFiles(output: OutputSpec): boolean {
  return output.kind === "local" || output.kind === "tar" || (output.kind === "image" && output.unpack);
}

function graphOf({ conversions }: PreparedBuild): Graph {
  const [first, ...others] = conversions;
  const targets = conversions.flatMap((conversion) => conversion.target ?? []);
  if (first !== undefined && others.length === 0) return { targets, meta: first.meta };
  return { targets, meta: new Map(conversions.toReversed().flatMap((conversion) => [...conversion.meta])) };
}

/** The local contexts that are read, with their indexes of file digests. */
function openLocals(
  engine: Engine,
  prepared: PreparedBuild,
): { readonly sources: ReadonlyMap<string, LocalSource>; save(): void } & Disposable {
  const { store, native, environment } = engine;
  const sources = new Map(
    [...prepared.directories].map(([name, directory]) => [
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

function insecureRegistries(options: BuildOptions): string[] {
  const { from = [], to = [] } = options.cache ?? {};
  const caches = [...from, ...to.map((one) => one.place)].flatMap((place) =>
    place.kind === "registry" && place.insecure ? [parseReference(place.ref).registry] : [],
  );
  const names = (options.outputs ?? []).flatMap((output) =>
    output.kind === "image" && output.insecure
      ? [...(options.tags ?? []), ...output.image.names].map((name) => parseReference(name).registry)
      : [],
  );
  return [...new Set([...names, ...caches])];
}

/** Whoever asks for the host's network on the command line has granted it. */
function grantedEntitlements({ allow = [], network }: BuildOptions): ReadonlySet<"network.host" | "security.insecure"> {
  const granted = new Set(allow.filter((name) => name !== "buildx.local.delete"));
  return network === "host" ? granted.add("network.host") : granted;
}
