import type { Readable } from "node:stream";
import { type Digest, digestOf, hexOf } from "../../../lib/core/digest.ts";
import { BuildError } from "../../../lib/core/errors.ts";
import { isRecord, parseJson } from "../../../lib/core/json.ts";
import {
  type BlobName,
  documentBlob,
  fromBlobDigest,
  MissingBlobError,
  toBlobDigest,
} from "../../../lib/reapi/blobs.ts";
import type { Cluster } from "../../../lib/reapi/cluster.ts";
import { Action, ActionResult, Command, OutputFile } from "../../../lib/reapi/protocol.ts";
import type { CacheBlob, CacheEntry, CacheSink, EntryName } from "./backend.ts";

/** Maximum size of an entry, as in a registry. */
const MAX_ENTRY_BYTES = 4 << 20;
const ENTRY_FILE = "entry.json";

/**
 * A cache in a cluster: blobs in its storage, entries in its action cache. An entry is the result of an action that is never
 * run: it names the blobs of the entry as its outputs, so that a server which checks its results for completeness drops the
 * entry with them.
 */
export class ClusterCache implements CacheSink {
  readonly keepsNamedBlobs = false;
  readonly location: string;
  readonly repository: string;
  readonly #cluster: Cluster;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.location = cluster.place.url;
    this.repository = cluster.place.url;
  }

  async exists(signal: AbortSignal): Promise<boolean> {
    await this.#cluster.abilities(signal);
    return true;
  }

  async read(name: EntryName, signal: AbortSignal): Promise<CacheEntry | undefined> {
    const result = await this.#cluster.cachedResult(actionOf(name), { files: [ENTRY_FILE], output: false }, signal);
    const file = result?.outputFiles.find(({ path }) => path === ENTRY_FILE);
    if (file === undefined) return undefined;
    const named = fromBlobDigest(file.digest);
    if (named.size > MAX_ENTRY_BYTES) return undefined;
    const bytes = await this.#bytes(named, file.contents, signal);
    const json = bytes === undefined ? undefined : parseJson(new TextDecoder().decode(bytes));
    if (!isRecord(json) || typeof json["entry"] !== "string") return undefined;
    const { entry, signature } = json;
    return { text: entry, signature: typeof signature === "string" ? signature : undefined };
  }

  async openBlob(blob: CacheBlob, signal: AbortSignal): Promise<Readable> {
    return this.#cluster.blobs.open(blob, { offsetBytes: 0, check: "digest" }, signal);
  }

  async prepare(signal: AbortSignal): Promise<void> {
    if ((await this.#cluster.abilities(signal)).takesResults) return;
    throw new BuildError("cache/export-failed", "its action cache takes no results from clients", {
      hint: "the steps' own results are in it all the same; type=registry keeps kiln's",
    });
  }

  /** A storage is asked by digest and size: {@link putBlob} does that. */
  async hasBlob(_digest: Digest, _signal: AbortSignal): Promise<boolean> {
    return false;
  }

  async putBlob(blob: CacheBlob, content: Parameters<CacheSink["putBlob"]>[1], signal: AbortSignal): Promise<void> {
    const { digest, size } = blob;
    const missing = await this.#cluster.blobs.missing([{ digest, size }], signal);
    if (missing.length > 0) await this.#cluster.blobs.send([{ digest, size, open: (s) => content.open(s) }], signal);
  }

  async hasEntry(name: EntryName, signal: AbortSignal): Promise<boolean> {
    return (await this.#cluster.cachedResult(actionOf(name), { files: [], output: false }, signal)) !== undefined;
  }

  async putEntry(
    name: EntryName,
    { text, signature }: CacheEntry,
    blobs: readonly CacheBlob[],
    signal: AbortSignal,
  ): Promise<void> {
    const entry = documentBlob(Buffer.from(JSON.stringify({ entry: text, signature })));
    await this.#cluster.blobs.send([entry], signal);
    const named = blobs.map((blob) =>
      OutputFile.of({ path: `blobs/${hexOf(blob.digest)}`, digest: toBlobDigest(blob) }),
    );
    const outputFiles = [...named, OutputFile.of({ path: ENTRY_FILE, digest: toBlobDigest(entry) })];
    await this.#cluster.keepResult(actionOf(name), ActionResult.of({ outputFiles }), signal);
  }

  /** Returns an entry's bytes, checked; `undefined` where the storage has lost them. */
  async #bytes(named: BlobName, inlined: Uint8Array, signal: AbortSignal): Promise<Uint8Array | undefined> {
    if (inlined.byteLength > 0 && digestOf(inlined) === named.digest) return inlined;
    try {
      const [bytes] = await this.#cluster.blobs.readSmall([named], signal);
      return bytes;
    } catch (error) {
      if (error instanceof MissingBlobError) return undefined;
      throw error;
    }
  }
}

/** Names an entry as an action, whose command nobody runs. */
function actionOf(name: EntryName): BlobName {
  const command = documentBlob(Command.encode({ arguments: ["kiln", "cache-entry", "1", name] }));
  return documentBlob(Action.encode({ commandDigest: toBlobDigest(command) }));
}
