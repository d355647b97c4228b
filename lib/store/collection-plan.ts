import type { Digest } from "../core/digest.ts";
import type { Hold } from "./holds.ts";
import { originOf } from "./snapshot-id.ts";
import { type Inventory, type InventoryRecord, layerFiles, namedImages } from "./inventory.ts";

/** An item that can be given up to free space, with the cost of getting it back. */
export type Victim =
  /** Records of one result, with the layer that nothing else needs. */
  | {
      readonly kind: "step";
      readonly records: readonly InventoryRecord[];
      readonly snapshot: string | undefined;
      readonly bytes: number;
    }
  /** Files of a pulled layer: its row stays, and a registry has the bytes. */
  | { readonly kind: "layer"; readonly snapshot: string; readonly bytes: number }
  /** A compressed form of a layer. */
  | { readonly kind: "blob"; readonly digest: Digest; readonly bytes: number }
  /** An image or index without a name. */
  | { readonly kind: "image"; readonly digest: Digest; readonly snapshots: readonly string[]; readonly bytes: number }
  | { readonly kind: "cache-mount"; readonly name: string; readonly bytes: number };

export type VictimKind = Victim["kind"];

export interface CollectionOptions {
  /** Limit for the store in bytes: the least valuable victims go until it is met. 0: all possible victims go. */
  readonly keepBytes: number;
  /**
   * True to include parts that named images can do without: their steps' records, and files that can be fetched again.
   */
  readonly all: boolean;
  /** Limits victims to those last used before. Milliseconds since the epoch. */
  readonly usedBeforeMs: number | undefined;
  /** Limits victims to these kinds. */
  readonly kinds: ReadonlySet<VictimKind> | undefined;
}

export interface CacheMountUse {
  readonly name: string;
  readonly lastUsedMs: number;
}

/** The facts behind a plan, besides the rows. */
export interface CollectionState {
  readonly inventory: Inventory;
  readonly held: ReadonlySet<Hold>;
  /** Bytes on disk of snapshots and cache mounts by name, of blobs by digest. Absent: no files. */
  readonly sizes: ReadonlyMap<string, number>;
  readonly cacheMounts: readonly CacheMountUse[];
  /** Bytes of the whole store. */
  readonly totalBytes: number;
  readonly nowMs: number;
}

// Estimated cost of getting items back, where nothing was recorded. Bytes per second.
const FETCH_RATE = 20e6;
const COMPRESS_RATE = 40e6;
/** A cache mount saves downloads and compilations of all later builds; their number is unknown. */
const CACHE_MOUNT_SECONDS = 120;
const DAY_MS = 24 * 3600 * 1000;

/**
 * Chooses victims in order of value. Pure. A step's layer is free once no later step and no image stands on it, so
 * steps go from the leaves down. Each time the cheapest of all candidates is taken: seconds to get it back per byte
 * freed, halved for each day without use.
 */
export function planCollection(state: CollectionState, options: CollectionOptions): readonly Victim[] {
  const planner = new Planner(state, options);
  const chosen: Victim[] = [];
  let total = state.totalBytes;
  const candidates = new Heap(planner.first());
  while (total > options.keepBytes || options.keepBytes === 0) {
    const cheapest = candidates.take();
    if (cheapest === undefined) break;
    chosen.push(cheapest.victim);
    total -= cheapest.victim.bytes;
    for (const next of planner.freedBy(cheapest.victim)) candidates.add(next);
  }
  return chosen;
}

interface Candidate {
  readonly victim: Victim;
  readonly value: number;
}

/** A heap of candidates: the one with the lowest value comes out first. A binary heap in an array. */
class Heap {
  readonly #items: Candidate[] = [];

  constructor(items: Iterable<Candidate>) {
    for (const item of items) this.add(item);
  }

  add(item: Candidate): void {
    let at = this.#items.push(item) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.#value(parent) <= item.value) break;
      this.#swap(at, parent);
      at = parent;
    }
  }

  take(): Candidate | undefined {
    const first = this.#items[0];
    const last = this.#items.pop();
    if (first === undefined || last === undefined || this.#items.length === 0) return first;
    this.#items[0] = last;
    for (let at = 0; ;) {
      const left = 2 * at + 1;
      const child = this.#value(left + 1) < this.#value(left) ? left + 1 : left;
      if (this.#value(child) >= last.value) return first;
      this.#swap(at, child);
      at = child;
    }
  }

  #value(index: number): number {
    return this.#items[index]?.value ?? Infinity;
  }

  #swap(a: number, b: number): void {
    const [left, right] = [this.#items[a], this.#items[b]];
    if (left === undefined || right === undefined) return;
    [this.#items[a], this.#items[b]] = [right, left];
  }
}

class Planner {
  readonly #state: CollectionState;
  readonly #options: CollectionOptions;
  /** Number of records and images that stand on each snapshot. */
  readonly #users = new Map<string, number>();
  /** Records by the layer they made, the topmost of their result. */
  readonly #byTop = new Map<string, InventoryRecord[]>();
  /** Last use of each layer by the records and images that stand on it. */
  readonly #lastUsed = new Map<string, number>();
  /** DiffIDs of layers whose files are present, and give the layer's tar byte for byte. */
  readonly #packable = new Set<Digest>();
  /** Blobs that were compressed here, from another blob or from files. */
  readonly #compressedHere: ReadonlySet<Digest>;
  /** DiffIDs of layers that have a blob which came from elsewhere, or which a step wrote. */
  readonly #given = new Set<Digest>();
  /** Number of images that stand on each snapshot. */
  readonly #images = new Map<string, number>();
  readonly #layerFiles: (id: string) => readonly string[];
  /** Layers of named images; their records go only with `all`. */
  readonly #inNamed = new Set<string>();

  constructor(state: CollectionState, options: CollectionOptions) {
    this.#state = state;
    this.#options = options;
    this.#layerFiles = layerFiles(state.inventory);
    for (const { id, state: files, diffId } of state.inventory.snapshots.values()) {
      // Files that came in a tar do not tell its exact bytes: another program's order and headers are only in the blob.
      const isExact = originOf(id) === "step";
      if (files === "present" && diffId !== undefined && isExact) this.#packable.add(diffId);
    }
    const compressed = state.inventory.facts.filter(({ kind }) => kind === "compressed-layer");
    this.#compressedHere = new Set(compressed.flatMap(({ blobs }) => blobs));
    for (const [digest, { diffId }] of state.inventory.localBlobs)
      if (!this.#compressedHere.has(digest) && this.#size(digest) > 0) this.#given.add(diffId);
    const named = namedImages(state.inventory);
    for (const image of state.inventory.images) {
      if (image.kind !== "image") continue;
      for (const id of new Set(image.members)) {
        this.#count(id, 1);
        this.#images.set(id, (this.#images.get(id) ?? 0) + 1);
        this.#use(id, image.lastUsedMs);
        if (named.has(image.digest)) this.#inNamed.add(id);
      }
    }
    for (const record of state.inventory.records) {
      for (const id of new Set(record.layers)) {
        this.#count(id, 1);
        this.#use(id, record.lastUsedMs);
      }
      const top = record.layers.at(-1) ?? "";
      this.#byTop.set(top, [...(this.#byTop.get(top) ?? []), record]);
    }
  }

  /** Lists the items that may go at once. */
  first(): readonly Candidate[] {
    const { inventory, cacheMounts } = this.#state;
    const found = [...this.#byTop.keys()].flatMap((top) => this.#step(top));
    for (const { name, lastUsedMs } of cacheMounts) {
      const bytes = this.#size(name);
      found.push(...this.#candidate({ kind: "cache-mount", name, bytes }, CACHE_MOUNT_SECONDS, lastUsedMs));
    }
    for (const [digest, blob] of inventory.localBlobs) {
      const bytes = this.#size(digest);
      if (this.#isHeld(`blob:${digest}`) || !this.#isSpare(digest, blob.diffId)) continue;
      found.push(...this.#candidate({ kind: "blob", digest, bytes }, bytes / COMPRESS_RATE, blob.addedMs));
    }
    found.push(...this.#unnamedImages(), ...this.#pulledLayers());
    return found;
  }

  /** Tells whether a layer is available, byte for byte, without this blob: from its files, a registry, or the blob it was made of. */
  #isSpare(digest: Digest, diffId: Digest): boolean {
    if (this.#state.inventory.fetchable.has(diffId) || this.#packable.has(diffId)) return true;
    return this.#compressedHere.has(digest) && this.#given.has(diffId);
  }

  /** Lists the items that may go once `victim` goes. */
  freedBy(victim: Victim): readonly Candidate[] {
    const released: string[] = [];
    if (victim.kind === "step") for (const record of victim.records) released.push(...new Set(record.layers));
    if (victim.kind === "image") released.push(...victim.snapshots);
    for (const id of released) {
      this.#count(id, -1);
      if (victim.kind === "image") this.#images.set(id, (this.#images.get(id) ?? 1) - 1);
    }
    const own = victim.kind === "step" ? victim.snapshot : undefined;
    return [...new Set(released)].filter((id) => id !== own).flatMap((id) => this.#step(id));
  }

  /** Returns the records that made a layer, when nothing else stands on it. */
  #step(top: string): Candidate[] {
    const records = this.#byTop.get(top) ?? [];
    const users = this.#users.get(top) ?? 0;
    if (records.length === 0 || records.some(({ id }) => this.#isHeld(`record:${id}`))) return [];
    if (!this.#options.all && this.#inNamed.has(top)) return [];
    const isOnlyTheirs = users === records.length && !this.#isHeld(`snapshot:${top}`);
    // A layer that an image needs stays; with `all` the records may go without it. A layer that later steps need stays
    // until they go.
    if (!isOnlyTheirs && top !== "" && !(this.#options.all && users === records.length + (this.#images.get(top) ?? 0)))
      return [];
    const bytes = isOnlyTheirs ? this.#sizes(this.#layerFiles(top)) : 0;
    const seconds = Math.max(...records.map(({ wallMs }) => wallMs)) / 1000;
    const lastUsedMs = Math.max(...records.map((record) => record.lastUsedMs));
    return this.#candidate(
      { kind: "step", records, snapshot: isOnlyTheirs ? top : undefined, bytes },
      seconds,
      lastUsedMs,
    );
  }

  #unnamedImages(): Candidate[] {
    // Builds stand on a base image: it goes only when space is needed, or when all refetchable items are to go.
    const isKept = !this.#options.all && this.#options.keepBytes === 0;
    const named = namedImages(this.#state.inventory, isKept ? "pulled" : undefined);
    return this.#state.inventory.images.flatMap((image) => {
      if (named.has(image.digest) || this.#isHeld(`image:${image.digest}`)) return [];
      const snapshots = image.kind === "image" ? [...new Set(image.members)] : [];
      const layers = snapshots.filter((id) => this.#users.get(id) === 1).flatMap(this.#layerFiles);
      const bytes = this.#sizes([image.digest, image.config ?? "", ...layers]);
      return this.#candidate({ kind: "image", digest: image.digest, snapshots, bytes }, 1, image.lastUsedMs);
    });
  }

  /**
   * Lists files of layers from a registry. Under a limit they compete with all other victims; otherwise only `all`
   * takes them.
   */
  #pulledLayers(): Candidate[] {
    if (!this.#options.all && this.#options.keepBytes === 0) return [];
    return [...this.#state.inventory.snapshots.values()].flatMap((snapshot) => {
      const bytes = this.#size(snapshot.id);
      const canReturn = snapshot.diffId !== undefined && this.#state.inventory.fetchable.has(snapshot.diffId);
      if (snapshot.state === "absent" || !canReturn) return [];
      if (this.#byTop.has(snapshot.id) || this.#isHeld(`snapshot:${snapshot.id}`)) return [];
      return this.#candidate(
        { kind: "layer", snapshot: snapshot.id, bytes },
        bytes / FETCH_RATE,
        this.#lastUsed.get(snapshot.id) ?? snapshot.lastUsedMs,
      );
    });
  }

  #candidate(victim: Victim, seconds: number, lastUsedMs: number): Candidate[] {
    const { usedBeforeMs, kinds } = this.#options;
    if (kinds !== undefined && !kinds.has(victim.kind)) return [];
    if (usedBeforeMs !== undefined && lastUsedMs >= usedBeforeMs) return [];
    const idleDays = Math.max(0, this.#state.nowMs - lastUsedMs) / DAY_MS;
    // One page more, so that a victim that frees nothing does not get an infinite value.
    return [{ victim, value: (seconds + 0.001) / (victim.bytes + 4096) / 2 ** Math.min(idleDays, 500) }];
  }

  #use(id: string, lastUsedMs: number): void {
    this.#lastUsed.set(id, Math.max(this.#lastUsed.get(id) ?? 0, lastUsedMs));
  }

  #count(id: string, by: 1 | -1): void {
    this.#users.set(id, (this.#users.get(id) ?? 0) + by);
  }

  #sizes(names: readonly string[]): number {
    return names.reduce((sum, name) => sum + this.#size(name), 0);
  }

  #size(name: string): number {
    return this.#state.sizes.get(name) ?? 0;
  }

  #isHeld(hold: Hold): boolean {
    return this.#state.held.has(hold);
  }
}
