import { type Digest, hexOf } from "../../../lib/core/digest.ts";
import { BuildError, hintOf, joinHints, messageOf } from "../../../lib/core/errors.ts";
import { mapLimit } from "../../../lib/core/limits.ts";
import type { MadeOutput } from "../../../lib/core/progress.ts";
import type { CacheRecord } from "../../../lib/store/model.ts";
import type { LayerForm } from "../../export/layers.ts";
import type { CacheSink } from "../../../solver/cache/remote/backend.ts";
import type { Graph } from "../../../solver/graph/graph.ts";
import { layerInputs } from "../../../solver/graph/op-facts.ts";
import type { Vertex } from "../../../solver/graph/vertex.ts";
import { RecordEntries, type TravellingBlob } from "./cache-entries.ts";
import { exportMount, travelName } from "./cache-mounts.ts";
import type { CacheTo } from "./cache-options.ts";
import type { PartsOf } from "../build-parts.ts";
import type { LayerPacker } from "../images/layer-packer.ts";
import { type ShownWork, shownStep } from "../shown-step.ts";
import type { SolvedBuild } from "../solve-build.ts";
import { openSigner } from "./cache-signer.ts";
import { isInWorkflow } from "../../../solver/cache/objects/in-workflow.ts";
import { type CacheImports, openCache } from "./remote-cache.ts";

/** The parts of a build for exporting its results. */
export type CacheParts = PartsOf<"options" | "imports", "environment" | "store" | "layers">;

export type CacheExportParts = CacheParts &
  PartsOf<"progress" | "mounts", "registry" | "objects" | "clusters" | "native" | "snapshotter">;

/** Limit of concurrent uploads and requests. */
const UPLOADS = 4;

/**
 * Writes a build's results to the caches, after its images.
 * @throws {BuildError} `cache/export-failed`, except where a failure is only a warning
 */
export async function exportCaches(
  solved: SolvedBuild,
  parts: CacheExportParts,
  packer: LayerPacker,
  signal: AbortSignal,
): Promise<void> {
  const { engine, progress } = parts;
  const clock = engine.environment;
  for (const to of parts.options.cache?.to ?? []) {
    if (to.place.kind === "inline") continue;
    if (to.place.kind === "gha" && !isInWorkflow(to.place, engine.environment.env)) {
      const message = "Cannot export the cache to GitHub's cache service: there is none outside of a workflow";
      progress({ kind: "notice", level: "warning", message, hint: "ACTIONS_RUNTIME_TOKEN is not set, nor is token=" });
      continue;
    }
    if (to.onlyNew === true && ![...solved.outcomes.values()].some(({ how }) => how === "ran")) continue;
    const sink = await openCache(to.place, engine, signal);
    try {
      await shownStep(exportLine(sink), { progress, clock }, async () => {
        await exportCache(to, sink, { solved, parts, packer }, signal);
        if (to.keepDays !== undefined) await removeUnused(sink, to.keepDays, { progress, clock }, signal);
      });
      const output: MadeOutput = { kind: "cache", place: `in ${sink.location}`, names: [], ...NO_IMAGE };
      progress({ kind: "output", id: exportLine(sink), output, atMs: clock.nowMs() });
    } catch (error) {
      signal.throwIfAborted();
      const failure = exportFailure(sink.location, error);
      if (!to.ignoreError) throw failure;
      progress({ kind: "notice", level: "warning", message: failure.message, hint: undefined });
    }
  }
}

const NO_IMAGE = { sizeBytes: 0, layers: 0, platforms: 0 };

function exportLine(sink: CacheSink): string {
  return `exporting cache to ${sink.location}`;
}

/**
 * Writes a build's results to a cache: the blobs first, then the entries that name them. Existing entries stay, except
 * those of steps that this build ran.
 */
async function exportCache(
  cache: CacheTo,
  sink: CacheSink,
  build: { readonly solved: SolvedBuild; readonly parts: CacheExportParts; readonly packer: LayerPacker },
  signal: AbortSignal,
): Promise<void> {
  const { solved, packer } = build;
  const { engine, imports, mounts } = build.parts;
  const { repository } = sink;
  const entries = new RecordEntries(engine, packer, layerForm(cache), { producer: cache.producer, repository });
  const signer = await openSigner(cache, engine, signal);
  const uploads = new Uploads(sink);
  await sink.prepare(signal);
  await mapLimit(recordsOf(solved, imports, cache), UPLOADS, signal, async ({ key, record, isNew }, inner) => {
    if (!isNew && (cache.onlyNew === true || (await signer.isDone(`d-${hexOf(key)}`, sink, inner)))) return;
    const { names, text, contents } = await entries.of(key, record, inner);
    for (const content of contents) await uploads.put(content, inner);
    const blobs = contents.map(({ descriptor: { mediaType, digest, size } }) => ({ mediaType, digest, size }));
    for (const name of names) await sink.putEntry(name, signer.sign(name, text), blobs, inner);
  });
  if (!cache.mounts) return;
  for (const mount of engine.store.cacheMounts.list().filter(({ id }) => mounts.used.has(id))) {
    const before = await signer.readMount(travelName(mount.id, mount.place), sink, signal);
    await exportMount(mount, { sink, before, sign: (name, text) => signer.sign(name, text) }, engine, signal);
  }
}

const DAY_MS = 86_400_000;

async function removeUnused(
  sink: CacheSink,
  keepDays: number,
  { progress, clock }: ShownWork,
  signal: AbortSignal,
): Promise<void> {
  const atMs = clock.nowMs();
  const removed = await sink.removeUnused?.(atMs - keepDays * DAY_MS, signal);
  if (removed === undefined || removed.entries + removed.blobs === 0) return;
  const item = `removed ${removed.entries} old results and ${removed.blobs} blobs`;
  const at = { id: exportLine(sink), item, current: removed.bytes, total: removed.bytes } as const;
  progress({ kind: "status", unit: "bytes", done: true, atMs, ...at });
}

function exportFailure(location: string, error: unknown): BuildError {
  // The step's own failure repeats the action; only its cause is new.
  const why = error instanceof BuildError && error.code === "system/failed" ? (error.cause ?? error) : error;
  return new BuildError(
    "cache/export-failed",
    `Cannot export the cache to ${JSON.stringify(location)}: ${messageOf(why)}`,
    {
      hint: joinHints(hintOf(error), "the image has been built and exported; ignore-error=true makes this a warning"),
      cause: error,
    },
  );
}

function layerForm(cache: CacheTo): LayerForm {
  return { family: "oci", compression: cache.compression, level: cache.compressionLevel, force: false };
}

interface ExportedRecord {
  /** The key under which the record was found. */
  readonly key: Digest;
  readonly record: CacheRecord;
  /** True when this build ran the step. */
  readonly isNew: boolean;
}

/** Lists the records of a build that the mode selects. Steps below a hit may have none. */
export function recordsOf(
  solved: Pick<SolvedBuild, "graph" | "outcomes">,
  imports: Pick<CacheImports, "records" | "isTrusting">,
  cache: CacheTo,
): readonly ExportedRecord[] {
  const inResult = cache.mode === "min" ? verticesOfResult(solved.graph) : undefined;
  const isNew = new Map<Digest, boolean>();
  for (const [vertex, { definitionKey, how }] of solved.outcomes) {
    if (inResult === undefined || inResult.has(vertex)) isNew.set(definitionKey, how === "ran");
  }
  // A signature means that we made it, or trust its maker.
  const onlyOwn = cache.sign !== undefined && !imports.isTrusting;
  return [...imports.records.findByDefinitionKeys([...isNew.keys()])].flatMap(([key, record]) =>
    onlyOwn && record.producer !== "local" ? [] : [{ key, record, isNew: isNew.get(key) === true }],
  );
}

/** Collects vertices with layers in the result: from the targets down by parents, and through merges. */
function verticesOfResult({ targets }: Graph): ReadonlySet<Digest> {
  const found = new Set<Digest>();
  const waiting: Vertex[] = [...targets];
  for (let vertex = waiting.pop(); vertex !== undefined; vertex = waiting.pop()) {
    if (found.has(vertex.digest)) continue;
    found.add(vertex.digest);
    const { op, inputs } = vertex;
    for (const index of layerInputs(op, inputs.length)) waiting.push(...inputs.slice(index, index + 1));
  }
  return found;
}

/** A set of uploads: every blob is uploaded once, however many records have it. */
class Uploads {
  readonly #sink: CacheSink;
  readonly #started = new Map<Digest, Promise<void>>();

  constructor(sink: CacheSink) {
    this.#sink = sink;
  }

  async put(content: TravellingBlob, signal: AbortSignal): Promise<void> {
    const { digest } = content.descriptor;
    let upload = this.#started.get(digest);
    if (upload === undefined) this.#started.set(digest, (upload = this.#put(content, signal)));
    return upload;
  }

  async #put(content: TravellingBlob, signal: AbortSignal): Promise<void> {
    const { mediaType, digest, size } = content.descriptor;
    if (content.repository === this.#sink.repository || (await this.#sink.hasBlob(digest, signal))) return;
    const from = content.repository;
    await this.#sink.putBlob({ mediaType, digest, size }, { open: (s) => content.open(s), from }, signal);
  }
}
