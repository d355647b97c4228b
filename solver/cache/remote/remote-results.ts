import { type Digest, digestOf, hexOf } from "../../../lib/core/digest.ts";
import { parseRuns } from "../../../lib/core/run-interval.ts";
import { BuildError } from "../../../lib/core/errors.ts";
import { mapLimit } from "../../../lib/core/limits.ts";
import { builtLayerId, layerId } from "../../../lib/store/snapshot-id.ts";
import type { CacheRecord, LayerBlob, SnapshotId } from "../../../lib/store/model.ts";
import type { NewSnapshot } from "../../../lib/store/store.ts";
import type { CacheSource, EntryName } from "./backend.ts";
import { noteListing, whereListing } from "./listing-places.ts";
import { Reader, type RemoteDeps } from "./reader.ts";
import { decodeRecord, type DocumentLayer, type RecordDocument } from "./record-document.ts";
import { noteSigned } from "./trust.ts";

/** Limit of concurrent look-ups: they are small and mostly wait. */
const CONCURRENT_LOOKUPS = 16;

/**
 * The results in remote caches. A found result becomes a record of the store, with layers that stay absent until a step
 * needs their files. Nothing here fails a build: an unreadable cache is a warning, and then it is not used any more.
 */
export class RemoteResults {
  readonly #deps: RemoteDeps;
  readonly #sources: readonly Reader[];
  /** Layers that could not be fetched, so that no record brings them back. */
  readonly #refused = new Set<SnapshotId>();

  /** @param sources in order of preference */
  constructor(sources: readonly CacheSource[], deps: RemoteDeps) {
    this.#deps = deps;
    this.#sources = sources.map((source) => new Reader(source, deps));
  }

  /** Looks up keys. Keys that no cache has are left out. */
  async findByDefinitionKeys(keys: readonly Digest[], signal: AbortSignal): Promise<ReadonlyMap<Digest, CacheRecord>> {
    const found = new Map<Digest, CacheRecord>();
    await mapLimit(keys, CONCURRENT_LOOKUPS, signal, async (key, inner) => {
      const record = await this.#find(`d-${hexOf(key)}`, ({ definitionKey }) => definitionKey === key, inner);
      if (record !== undefined) found.set(key, record);
    });
    return found;
  }

  async findByContentKey(key: Digest, signal: AbortSignal): Promise<CacheRecord | undefined> {
    return this.#find(`c-${hexOf(key)}`, ({ contentKey }) => contentKey === key, signal);
  }

  /** Reads an entry that meets the same trust rules as records, and its source. */
  async readEntry(
    name: EntryName,
    signal: AbortSignal,
  ): Promise<{ readonly text: string; readonly source: CacheSource } | undefined> {
    for (const reader of this.#sources) {
      const entry = await reader.read(name, signal);
      if (entry !== undefined) return { text: entry.text, source: reader.source };
    }
    return undefined;
  }

  /** Fetches listings that records refer to. A missing one makes an explanation shorter. */
  async fetchListings(digests: readonly Digest[], signal: AbortSignal): Promise<void> {
    await mapLimit(new Set(digests), CONCURRENT_LOOKUPS, signal, async (digest, inner) => {
      const where = this.#deps.store.blobs.has(digest) ? undefined : whereListing(digest, this.#deps.store);
      const reader = this.#sources.find(({ source }) => source.repository === where?.repository);
      if (where !== undefined) await reader?.fetchListing({ digest, size: where.size }, inner);
    });
  }

  /** Ends the display of the look-ups and their downloads. */
  finish(): void {
    for (const reader of this.#sources) reader.finish();
  }

  /** Rejects a layer that could not be fetched or was wrong: records with it are skipped from now on. */
  refuse(layer: SnapshotId): void {
    this.#refused.add(layer);
  }

  async #find(
    name: EntryName,
    isAsked: (document: RecordDocument) => boolean,
    signal: AbortSignal,
  ): Promise<CacheRecord | undefined> {
    for (const reader of this.#sources) {
      const entry = await reader.read(name, signal);
      if (entry === undefined) continue;
      try {
        const document = decodeRecord(entry.text);
        if (!isAsked(document))
          throw new BuildError("cache/import-failed", `Cannot use entry ${name}: it has another key`);
        const record = this.#take(document, reader.source);
        if (record === undefined) continue;
        reader.takes(document);
        return record;
      } catch (error) {
        if (!(error instanceof BuildError)) throw error;
        reader.warn(error);
      }
    }
    return undefined;
  }

  /** Makes a record of the store; `undefined` when some of its layers cannot be had. */
  #take(document: RecordDocument, source: CacheSource): CacheRecord | undefined {
    const { records } = this.#deps.store;
    const snapshots: NewSnapshot[] = [];
    const layerBlobs: LayerBlob[] = [];
    for (const layer of document.layers) {
      const snapshot = this.#layer(layer);
      if (snapshot === undefined || this.#refused.has(snapshot.id)) return undefined;
      snapshots.push(snapshot);
      const { diffId, blob } = layer;
      if (blob !== undefined) layerBlobs.push({ diffId, descriptor: blob, repository: source.repository });
    }
    const layers = snapshots.map(({ id }) => id);
    const { definitionKey, contentKey, site, name, parts, wallMs, cpuMs, peakMemoryBytes, producer } = document;
    for (const listing of document.listings ?? []) noteListing(listing, source.repository, this.#deps.store);
    const id = hexOf(digestOf(`${definitionKey} ${layers.join(" ")}`)).slice(0, 32);
    const from = `${source.location}, made by ${producer}`;
    const result = { layers, wallMs, cpuMs, peakMemoryBytes, logFile: undefined, producer: from };
    // Before the record: an unsigned record that exists already must not be trusted by mistake.
    if (this.#deps.trusted !== undefined) noteSigned(id, this.#deps.trusted, this.#deps.store);
    return records.insert({ id, definitionKey, contentKey, site, name, parts, ...result }, { snapshots, layerBlobs });
  }

  #layer({ diffId, contentDigest, tarSizeBytes, runs, createdAtMs, blob }: DocumentLayer): NewSnapshot | undefined {
    const { snapshots } = this.#deps.store;
    const isBuilt = contentDigest !== undefined;
    const id = isBuilt ? builtLayerId(diffId) : layerId(diffId);
    const here = snapshots.byDiffId(diffId);
    // Present files are better than files to be fetched, whatever their origin.
    const best = here.find((row) => row.state === "present") ?? here.find((row) => row.id === id);
    if (best !== undefined) return { id: best.id, state: best.state, ...(isBuilt ? { contentDigest } : {}) };
    if (blob === undefined) return undefined;
    return {
      id,
      state: "absent",
      diffId,
      createdAtMs,
      ...(contentDigest === undefined ? {} : { contentDigest }),
      ...(runs === undefined ? {} : { runs: parseRuns(runs) }),
      ...(tarSizeBytes === undefined ? {} : { tarSizeBytes }),
    };
  }
}
