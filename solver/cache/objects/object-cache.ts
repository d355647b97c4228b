import { PassThrough, Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Digest, digestOf, DigestStream } from "../../../lib/core/digest.ts";
import { BuildError } from "../../../lib/core/errors.ts";
import { isRecord, parseJson } from "../../../lib/core/json.ts";
import { mapLimit } from "../../../lib/core/limits.ts";
import type { CacheBlob, CacheEntry, CacheSink, EntryName } from "../remote/backend.ts";
import { buildKitCache } from "../remote/buildkit-cache.ts";
import { decodeRecord } from "../remote/record-document.ts";
import type { ObjectName, ObjectStore } from "./object-store.ts";

/** Maximum size of an entry: that of a manifest in a registry. */
const MAX_ENTRY_BYTES = 4 << 20;
/** Limit of concurrent renewals for one entry. */
const RENEWALS = 4;
const MARKER = "kiln cache 1\n";

/** A cache in a store of objects. Entries are JSON as in a directory. */
export class ObjectCache implements CacheSink {
  readonly keepsNamedBlobs = false;
  readonly location: string;
  readonly repository: string;
  readonly #own: string;
  readonly #store: () => Promise<ObjectStore>;

  /**
   * @param place `location`: for display; `repository`: names the place in the store, without secrets; `own`: the flag's
   *   value for a cache beside one of BuildKit's
   * @param store opens it at the first use
   */
  constructor(
    place: { readonly location: string; readonly repository: string; readonly own: string },
    store: () => Promise<ObjectStore>,
  ) {
    this.location = place.location;
    this.repository = place.repository;
    this.#own = place.own;
    this.#store = store;
  }

  async exists(signal: AbortSignal): Promise<boolean> {
    const store = await this.#store();
    if ((await store.has({ kind: "cache" }, signal)) !== "no") return true;
    if (await store.hasBuildKitCache(signal)) throw buildKitCache(this.#own);
    return false;
  }

  async read(name: EntryName, signal: AbortSignal): Promise<CacheEntry | undefined> {
    const stream = await (await this.#store()).get({ kind: "entry", name }, 0, signal);
    const text = stream === undefined ? undefined : await textOf(stream);
    const json = text === undefined ? undefined : parseJson(text);
    if (!isRecord(json) || typeof json["entry"] !== "string") return undefined;
    const { entry, signature } = json;
    return { text: entry, signature: typeof signature === "string" ? signature : undefined };
  }

  async openBlob(blob: CacheBlob, signal: AbortSignal): Promise<Readable> {
    return this.openBlobFrom(blob, { offsetBytes: 0, check: "digest" }, signal);
  }

  /**
   * Opens a blob from an offset on.
   * @throws {BuildError} `cache/import-failed` when the store has it not
   */
  async openBlobFrom(
    blob: CacheBlob,
    from: { readonly offsetBytes: number; readonly check: "digest" | "none" },
    signal: AbortSignal,
  ): Promise<Readable> {
    const { digest } = blob;
    if (from.offsetBytes > 0 && from.offsetBytes === blob.size) return Readable.from([]);
    const body = await (await this.#store()).get({ kind: "blob", digest }, from.offsetBytes, signal);
    if (body === undefined) {
      const place = JSON.stringify(this.location);
      throw new BuildError("cache/import-failed", `Cannot read blob "${digest}": ${place} has it not any more`);
    }
    return from.check === "none" ? body : checked(body, blob, this.location, signal);
  }

  async prepare(signal: AbortSignal): Promise<void> {
    const store = await this.#store();
    if ((await store.has({ kind: "cache" }, signal)) === "no") await this.#put({ kind: "cache" }, MARKER, signal);
  }

  async hasBlob(digest: Digest, signal: AbortSignal): Promise<boolean> {
    return (await (await this.#store()).has({ kind: "blob", digest }, signal)) !== "no";
  }

  async putBlob(blob: CacheBlob, content: Parameters<CacheSink["putBlob"]>[1], signal: AbortSignal): Promise<void> {
    const { digest, size: sizeBytes } = blob;
    const object = { digest, sizeBytes, open: (s: AbortSignal) => content.open(s) };
    await (await this.#store()).put({ kind: "blob", digest }, object, signal);
  }

  async hasEntry(name: EntryName, signal: AbortSignal): Promise<boolean> {
    const found = await (await this.#store()).has({ kind: "entry", name }, signal);
    if (found === "renewed") await this.#renewBlobs(name, signal);
    return found !== "no";
  }

  /** Renews the blobs of an entry that was renewed: an export asks for the entry alone, and each goes by its own age. */
  async #renewBlobs(name: EntryName, signal: AbortSignal): Promise<void> {
    const entry = await this.read(name, signal);
    if (entry === undefined) return;
    let digests: readonly Digest[];
    try {
      const { layers, listings = [] } = decodeRecord(entry.text);
      digests = [...layers.flatMap(({ blob }) => blob?.digest ?? []), ...listings.map(({ digest }) => digest)];
    } catch (error) {
      if (error instanceof BuildError) return;
      throw error;
    }
    await mapLimit(digests, RENEWALS, signal, async (digest, inner) => this.hasBlob(digest, inner));
  }

  async putEntry(name: EntryName, entry: CacheEntry, _: readonly CacheBlob[], signal: AbortSignal): Promise<void> {
    const { text, signature } = entry;
    await this.#put({ kind: "entry", name }, JSON.stringify({ entry: text, signature }), signal);
  }

  async #put(name: ObjectName, text: string, signal: AbortSignal): Promise<void> {
    const bytes = Buffer.from(text);
    const object = { digest: digestOf(bytes), sizeBytes: bytes.length, open: () => Readable.from([bytes]) };
    await (await this.#store()).put(name, object, signal);
  }
}

/** Reads an entry; `undefined` for one that is too large to be one. */
async function textOf(stream: Readable): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > MAX_ENTRY_BYTES) return undefined;
  }
  return Buffer.concat(chunks).toString("utf8");
}

function checked(body: Readable, blob: CacheBlob, location: string, signal: AbortSignal): Readable {
  const digesting = new DigestStream();
  const out = new PassThrough({
    flush(done) {
      const { digest, sizeBytes } = digesting.result();
      const isSame = digest === blob.digest && sizeBytes === blob.size;
      const why = `Cannot use blob "${blob.digest}" of ${JSON.stringify(location)}: its bytes are others`;
      done(isSame ? null : new BuildError("digest/mismatch", why));
    },
  });
  // The reader sees an error on `out`, because pipeline destroys it.
  pipeline(body, digesting, out, { signal }).catch(() => {});
  return out;
}
