import { createHash } from "node:crypto";
import { type Digest, isDigest } from "../../lib/core/digest.ts";
import type { LayerScan } from "../../lib/tree/tree-node.ts";
import { isRacy, type StatIndexStorage } from "./stat-index.ts";

/** Limit of remembered selections of one directory; the oldest goes first. */
const MAX_ENTRIES = 64;
/** Version of fingerprints; raise it when they, or their digests, are computed differently. */
const FORMAT = "fingerprints/2";

/**
 * A memory of whole selections' digests while nothing about their files changes, so that an unchanged context costs one
 * scan and one digest of the scan's data: no file is even listed by name.
 *
 * It maps the selector (`what`), with a digest of everything that lstat reports about every entry, names and link
 * targets included (`print`), to the digest of the selection's listing. It is valid for the same reasons as the stat
 * index, and a selection with a file that is too young for the index is not remembered here either.
 */
export class Fingerprints {
  readonly #storage: StatIndexStorage;
  #entries: Map<string, { readonly print: string; readonly digest: Digest }> | undefined;
  #dirty = false;

  constructor(storage: StatIndexStorage) {
    this.#storage = storage;
  }

  get(what: string, print: string): Digest | undefined {
    const known = this.#load().get(what);
    return known?.print === print ? known.digest : undefined;
  }

  set(what: string, print: string, digest: Digest): void {
    const entries = this.#load();
    entries.delete(what);
    entries.set(what, { print, digest });
    this.#dirty = true;
  }

  clear(): void {
    this.#load().clear();
    this.#dirty = true;
  }

  save(): void {
    if (!this.#dirty) return;
    this.#dirty = false;
    const entries = [...this.#load()].slice(-MAX_ENTRIES);
    const lines = entries.map(([what, { print, digest }]) => `${print} ${digest} ${what}`);
    this.#storage.save(Buffer.from([FORMAT, ...lines].join("\n")));
  }

  #load(): Map<string, { readonly print: string; readonly digest: Digest }> {
    if (this.#entries !== undefined) return this.#entries;
    const entries = (this.#entries = new Map<string, { readonly print: string; readonly digest: Digest }>());
    const bytes = this.#storage.load();
    if (bytes === undefined) return entries;
    const [format, ...lines] = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString().split("\n");
    if (format !== FORMAT) return entries;
    for (const line of lines) {
      const [print = "", digest = "", ...what] = line.split(" ");
      if (isDigest(digest)) entries.set(what.join(" "), { print, digest });
    }
    return entries;
  }
}

/** Digests all columns of a scan except the blocks on disk, which change when a file is flushed. */
export function printOf({ scan, onDisk = scan.columns }: LayerScan): string {
  const { mtimeNs, ctimeNs, ino, size, dev, mode, uid, gid, nlink, names, links, ...rest } = onDisk;
  const { rdevMajor, rdevMinor, parent, nameEnd, linkEnd, flags } = rest;
  const sum = createHash("sha256").update(`${scan.count} ${names.length} ${links.length}\n`);
  for (const column of [mtimeNs, ctimeNs, ino, size, dev, mode, uid, gid, nlink]) sum.update(column);
  for (const column of [rdevMajor, rdevMinor, parent, nameEnd, linkEnd, flags, names, links]) sum.update(column);
  return sum.digest("hex");
}

/** Tells whether anything in a scan may have changed after it without a change of its times. */
export function isAnyRacy({ scan, scannedAtNs, onDisk = scan.columns }: LayerScan): boolean {
  const { mtimeNs, ctimeNs } = onDisk;
  for (let row = 0; row < scan.count; row += 1) {
    if (isRacy(mtimeNs[row] ?? 0n, ctimeNs[row] ?? 0n, scannedAtNs)) return true;
  }
  return false;
}
