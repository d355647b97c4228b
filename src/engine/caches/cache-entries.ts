import { originOf } from "../../../lib/store/snapshot-id.ts";
import { type Digest, hexOf } from "../../../lib/core/digest.ts";
import { formatRuns, inWholeSeconds } from "../../../lib/core/run-interval.ts";
import { mapLimit } from "../../../lib/core/limits.ts";
import type { Descriptor } from "../../../lib/core/oci.ts";
import { type Layer, type LayerForm, layerContent } from "../../export/layers.ts";
import type { CacheRecord, KeyPart, SnapshotId } from "../../../lib/store/model.ts";
import type { EntryName } from "../../../solver/cache/remote/backend.ts";
import { LISTING_TYPE } from "../../../solver/cache/remote/reader.ts";
import { type DocumentLayer, encodeRecord } from "../../../solver/cache/remote/record-document.ts";
import { LayerContents } from "../../../solver/cache/input-contents.ts";
import { isInRegistry } from "../../../solver/sources/image/open-blob.ts";
import { contentKey } from "../../../solver/cache/key.ts";
import type { Engine } from "../engine.ts";
import type { LayerPacker } from "../images/layer-packer.ts";

/** A record in transportable form. */
export interface RecordEntry {
  /** One or two names: by definition key, and by content key where it has one. */
  readonly names: readonly EntryName[];
  readonly text: string;
  /** Blobs that the entry names; they must be in the same cache. */
  readonly contents: readonly TravellingBlob[];
}

/** A layer's blob, or a listing of files. */
export type TravellingBlob = Pick<Layer, "descriptor" | "repository" | "open">;

interface TravellingLayer {
  readonly layer: DocumentLayer;
  readonly content: Layer | undefined;
}

/** Limit of concurrent records; as many workers as there are pack and compress the layers of each. */
const CONCURRENT_RECORDS = 4;

/** A converter from records of the store to entries for one cache. Every layer is packed and compressed once. */
export class RecordEntries {
  readonly #engine: Pick<Engine, "store" | "layers">;
  readonly #packer: LayerPacker;
  readonly #form: LayerForm;
  readonly #to: { readonly producer: string; readonly repository: string | undefined };
  readonly #layers = new Map<SnapshotId, Promise<TravellingLayer>>();

  /** @param target `repository`: the place of the entries; blobs that are only there need not name it */
  constructor(
    engine: Pick<Engine, "store" | "layers">,
    packer: LayerPacker,
    form: LayerForm,
    target: { readonly producer: string; readonly repository: string | undefined },
  ) {
    this.#engine = engine;
    this.#packer = packer;
    this.#form = form;
    this.#to = target;
  }

  /**
   * Makes the entry of a record.
   * @param key the definition key under which it was found; early cutoff may have added it
   */
  async of(key: Digest, record: CacheRecord, signal: AbortSignal): Promise<RecordEntry> {
    const layers = await mapLimit(record.layers, CONCURRENT_RECORDS, signal, (id, inner) => this.#layer(id, inner));
    const byContent = record.contentKey ?? (await this.#contentKey(record, signal));
    const listings = this.#listings(record);
    const text = encodeRecord({
      definitionKey: key,
      contentKey: byContent,
      site: record.site,
      name: record.name,
      parts: record.parts.flatMap((part) => travellingPart(part, new Set(listings.map(({ digest }) => digest)))),
      ...(listings.length === 0 ? {} : { listings: listings.map(({ digest, size }) => ({ digest, size })) }),
      layers: layers.map(({ layer }) => layer),
      wallMs: record.wallMs,
      cpuMs: record.cpuMs,
      peakMemoryBytes: record.peakMemoryBytes,
      producer: record.producer === "local" ? this.#to.producer : record.producer,
      createdAtMs: record.createdAtMs,
    });
    const names: EntryName[] = [`d-${hexOf(key)}`];
    if (byContent !== undefined) names.push(`c-${hexOf(byContent)}`);
    const { blobs } = this.#engine.store;
    const files = listings.map((descriptor): TravellingBlob => ({
      descriptor,
      repository: undefined,
      open: () => blobs.open(descriptor.digest),
    }));
    return { names, text, contents: [...layers.flatMap(({ content }) => content ?? []), ...files] };
  }

  /** Lists present listings of files, where the cache has a place for blobs. */
  #listings({ parts }: CacheRecord): readonly Descriptor[] {
    if (this.#to.repository === undefined) return [];
    const digests = new Set(parts.flatMap(({ listing }) => listing ?? []));
    return [...digests].flatMap((digest) => {
      const size = this.#engine.store.blobs.sizeOf(digest);
      return size === undefined ? [] : { mediaType: LISTING_TYPE, digest, size };
    });
  }

  async #layer(id: SnapshotId, signal: AbortSignal): Promise<TravellingLayer> {
    let layer = this.#layers.get(id);
    if (layer === undefined) this.#layers.set(id, (layer = this.#makeLayer(id, signal)));
    return layer;
  }

  async #makeLayer(snapshot: SnapshotId, signal: AbortSignal): Promise<TravellingLayer> {
    const { store, layers } = this.#engine;
    const row = store.snapshots.get(snapshot);
    if (row === undefined) throw new Error(`Layer ${snapshot} of a record has no row`);
    const { createdAtMs } = row;
    if (originOf(snapshot) === "image" && row.diffId !== undefined) {
      const { diffId, tarSizeBytes } = row;
      const layer = { diffId, createdAtMs };
      if (this.#isInRegistry(diffId)) return { layer, content: undefined };
      const base = { diffId, tarSizeBytes, snapshot, origin: "base" } as const;
      return withBlob(layer, await layerContent(base, this.#form, layers, signal));
    }
    const packed = await this.#packer.layer(snapshot, signal);
    const contentDigest = await this.#packer.contentDigest(snapshot, signal);
    const content = await layerContent({ ...packed, snapshot, origin: "built" }, this.#form, layers, signal);
    const runs = row.runs === undefined ? {} : { runs: formatRuns(inWholeSeconds(row.runs)) };
    return withBlob({ ...packed, contentDigest, ...runs, createdAtMs }, content);
  }

  /** Tells whether users of the same base image can get the layer from the image's repository. */
  #isInRegistry(diffId: Digest): boolean {
    return this.#engine.store.snapshots
      .layerBlobs(diffId)
      .some(({ repository = "/" }) => isInRegistry(repository) && repository !== this.#to.repository);
  }

  /** Computes the content key of a record from a time when the contents of its parent were unknown. */
  async #contentKey(record: CacheRecord, signal: AbortSignal): Promise<Digest | undefined> {
    const contents = new LayerContents(this.#engine.store, this.#packer);
    const value = await contents.ofStack(record.layers.slice(0, -1), signal);
    const hasParent = record.parts.some(({ name, basis }) => name === "parent" && basis === "definition");
    if (!hasParent || value === undefined) return undefined;
    return contentKey([...record.parts, { name: "parent", value, basis: "content" }]);
  }
}

function withBlob(layer: DocumentLayer, content: Layer): TravellingLayer {
  const { mediaType, digest, size } = content.descriptor;
  return { layer: { ...layer, blob: { mediaType, digest, size } }, content };
}

/** Removes notes on the sources of files: only this store understands them. */
function travellingPart({ name, value, basis, listing }: KeyPart, listings: ReadonlySet<Digest>): KeyPart[] {
  const part = { name, value, ...(listing !== undefined && listings.has(listing) ? { listing } : {}) };
  if (basis === undefined) return [part];
  return basis === "note" && name.startsWith("stack of ") ? [] : [{ ...part, basis }];
}
