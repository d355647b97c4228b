import type { WriteBatch } from "../native/native.ts";
import { paddingOf, type TarEntry } from "./entry.ts";

const MAX_FILES = 1024;
const BLOCK_BYTES = 2 << 20;

/** A block of small files that are written with one call, for repeated use. */
export class FileBatch {
  readonly #block: Buffer;
  readonly #offsets = new Float64Array(MAX_FILES);
  readonly #sizes = new Float64Array(MAX_FILES);
  readonly #modes = new Uint32Array(MAX_FILES);
  readonly #uids = new Uint32Array(MAX_FILES);
  readonly #gids = new Uint32Array(MAX_FILES);
  readonly #mtimesNs = new BigInt64Array(MAX_FILES);
  readonly #paths: string[] = [];
  readonly #entries: TarEntry[] = [];
  readonly #pathSet = new Set<string>();
  #used = 0;
  /** Position in the file that is being filled; `undefined` between files. */
  #filled: number | undefined;

  constructor(maxFileBytes: number) {
    this.#block = Buffer.allocUnsafeSlow(Math.max(BLOCK_BYTES, maxFileBytes));
  }

  get count(): number {
    return this.#paths.length;
  }

  has(path: string): boolean {
    return this.#pathSet.has(path);
  }

  hasRoom(sizeBytes: number): boolean {
    return this.count < MAX_FILES && this.#used + sizeBytes <= this.#block.length;
  }

  begin(path: string, entry: TarEntry, owner: { readonly uid: number; readonly gid: number }): void {
    const index = this.count;
    this.#offsets[index] = this.#used;
    this.#sizes[index] = entry.size;
    this.#modes[index] = entry.mode;
    this.#uids[index] = owner.uid;
    this.#gids[index] = owner.gid;
    this.#mtimesNs[index] = representable(entry.mtimeNs);
    this.#paths.push(path);
    this.#entries.push(entry);
    this.#pathSet.add(path);
    this.#filled = 0;
  }

  /** Adds content. Bytes of a member that is not a file of this batch (a whiteout with content) are dropped. */
  data(bytes: Buffer): void {
    if (this.#filled === undefined) return;
    bytes.copy(this.#block, this.#used + this.#filled);
    this.#filled += bytes.length;
  }

  hole(sizeBytes: number): void {
    if (this.#filled === undefined) return;
    const start = this.#used + this.#filled;
    this.#block.fill(0, start, start + sizeBytes);
    this.#filled += sizeBytes;
  }

  end(): void {
    if (this.#filled === undefined) return;
    this.#used = Math.min(this.#block.length, this.#used + this.#filled + paddingOf(this.#filled));
    this.#filled = undefined;
  }

  pathAt(index: number): string {
    return this.#paths[index] ?? "";
  }

  /** Lists files that need more than a batch can set. */
  withAttributes(): [path: string, entry: TarEntry][] {
    const found: [string, TarEntry][] = [];
    for (const [index, entry] of this.#entries.entries()) {
      if (entry.xattrs.size > 0) found.push([this.pathAt(index), entry]);
    }
    return found;
  }

  toWrite(resolve: number): WriteBatch {
    return { names: this.#paths, data: this.#block, resolve, ...this.#columns(0) };
  }

  toWriteOne(index: number, resolve: number): WriteBatch {
    return { names: [this.pathAt(index)], data: this.#block, resolve, ...this.#columns(index) };
  }

  clear(): void {
    this.#paths.length = 0;
    this.#entries.length = 0;
    this.#pathSet.clear();
    this.#used = 0;
  }

  #columns(from: number): Omit<WriteBatch, "names" | "data" | "resolve"> {
    return {
      offsets: this.#offsets.subarray(from),
      sizes: this.#sizes.subarray(from),
      modes: this.#modes.subarray(from),
      uids: this.#uids.subarray(from),
      gids: this.#gids.subarray(from),
      mtimesNs: this.#mtimesNs.subarray(from),
    };
  }
}

/** Clamps to 64-bit nanoseconds, which end in 2262, as file systems do too. */
export function representable(ns: bigint): bigint {
  const limit = 2n ** 63n - 1n;
  return ns > limit ? limit : ns < -limit ? -limit : ns;
}
