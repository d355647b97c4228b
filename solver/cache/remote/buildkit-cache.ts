import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { hexOf, isDigest } from "../../../lib/core/digest.ts";
import { BuildError } from "../../../lib/core/errors.ts";
import { isRecord, parseJson } from "../../../lib/core/json.ts";
import type { Descriptor } from "../../../lib/core/oci.ts";

/*
 * BuildKit's caches are recognised and not read. Their records stand under digests of BuildKit's own operations, as Go
 * writes them: a build with other operations never computes one of them.
 */

/** Media type of the records of a BuildKit cache: the config of its manifest, or a member of its index. */
const RECORDS_TYPE = "application/vnd.buildkit.cacheconfig.v0";
const MAX_DOCUMENT_BYTES = 4 << 20;
/** Member of an image's configuration with the records of `type=inline`. */
const INLINE_MEMBER = "moby.buildkit.cache.v0";

export function isBuildKitRecords({ mediaType }: Pick<Descriptor, "mediaType">): boolean {
  return mediaType === RECORDS_TYPE;
}

/** @param config an image's configuration */
export function hasBuildKitRecords(config: Uint8Array): boolean {
  const json = parseJson(Buffer.from(config).toString("utf8"));
  return isRecord(json) && json[INLINE_MEMBER] !== undefined;
}

/** Tells whether a directory is an image layout in which BuildKit keeps a cache: a manifest or index of its records. */
export async function isBuildKitDirectory(directory: string): Promise<boolean> {
  const index = await readSmall(join(directory, "index.json"));
  for (const { digest } of membersOf(index, "manifests")) {
    if (typeof digest !== "string" || !isDigest(digest)) continue;
    const document = await readSmall(join(directory, "blobs/sha256", hexOf(digest)));
    const config = isRecord(document) ? document["config"] : undefined;
    const parts = [...membersOf(document, "manifests"), ...(isRecord(config) ? [config] : [])];
    if (parts.some(({ mediaType }) => mediaType === RECORDS_TYPE)) return true;
  }
  return false;
}

function membersOf(document: unknown, name: string): readonly Readonly<Record<string, unknown>>[] {
  const list: unknown = isRecord(document) ? document[name] : undefined;
  return Array.isArray(list) ? list.filter(isRecord) : [];
}

/** Reads a document; `undefined` for anything else. */
async function readSmall(path: string): Promise<unknown> {
  const status = await stat(path).catch(() => undefined);
  if (status?.isFile() !== true || status.size > MAX_DOCUMENT_BYTES) return undefined;
  return parseJson(await readFile(path, "utf8").catch(() => ""));
}

/** @param own the value of `--cache-to` for a cache that kiln can read */
export function buildKitCache(own: string): BuildError {
  return new BuildError("cache/import-failed", "BuildKit wrote it, and only BuildKit can compute the keys in it", {
    hint: `make a cache of kiln's beside it with --cache-to ${own}, and name that one in --cache-from`,
  });
}
