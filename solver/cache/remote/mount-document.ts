import { type Digest, digestOf, hexOf } from "../../../lib/core/digest.ts";
import { canonicalJson, parseJson } from "../../../lib/core/json.ts";
import type { CacheBlob, EntryName } from "./backend.ts";
import { MAX_CHUNK_BYTES } from "./chunks.ts";
import { blob, digest, list, malformed, members, number, string } from "./record-document.ts";

const FORMAT = "kiln cache mount 1";

/** Contents of a cache mount: a tar in chunks, and the facts about the directory itself that a tar does not hold. */
export type MountDocument = {
  readonly id: string;
  readonly root: { readonly mode: number; readonly uid: number; readonly gid: number };
  readonly chunks: readonly MountChunk[];
};

/** `digest` and `size` are those of the chunk, `blob` is the chunk as zstd. */
export type MountChunk = { readonly digest: Digest; readonly size: number; readonly blob: CacheBlob };

export const CHUNK_TYPE = "application/vnd.kiln.cache.chunk.v1+zstd";

/**
 * Returns the name of a cache mount's entry.
 * @param id of the cache mount in the store
 */
export function mountEntryName(id: string): EntryName {
  return `m-${hexOf(digestOf(id))}`;
}

export function encodeMount(document: MountDocument): string {
  return canonicalJson({ format: FORMAT, ...document });
}

/**
 * Parses a document.
 * @throws {BuildError} `cache/import-failed` for any text that `encodeMount` does not write
 */
export function decodeMount(text: string): MountDocument {
  const json = members(parseJson(text));
  if (json["format"] !== FORMAT) throw malformed(`its format is ${JSON.stringify(json["format"])}`);
  const root = members(json["root"]);
  return {
    id: string(json["id"]),
    root: { mode: number(root["mode"]) & 0o7777, uid: number(root["uid"]), gid: number(root["gid"]) },
    chunks: list(json["chunks"]).map(chunk),
  };
}

function chunk(value: unknown): MountChunk {
  const json = members(value);
  const size = number(json["size"]);
  const packed = blob(json["blob"]);
  // Chunks are held in memory.
  if (size > MAX_CHUNK_BYTES || packed.size > 2 * MAX_CHUNK_BYTES) throw malformed(`a piece has ${size} bytes`);
  return { digest: digest(json["digest"]), size, blob: packed };
}
