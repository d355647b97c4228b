import { isRecord, parseJson } from "../../../lib/core/json.ts";
import type { CacheEntry, EntryName } from "./backend.ts";

/** The annotation of an image's manifest with the entries of the steps that made the image's layers. */
export const INLINE_KEY = "kiln.cache.inline";

export function encodeInline(entries: ReadonlyMap<EntryName, CacheEntry>): string {
  return JSON.stringify(Object.fromEntries(entries));
}

/** Decodes the annotation, without unreadable parts: entries are checked when they are used. */
export function decodeInline(text: string): ReadonlyMap<string, CacheEntry> {
  const json = parseJson(text);
  if (!isRecord(json)) return new Map();
  return new Map(
    Object.entries(json).flatMap(([name, entry]): [string, CacheEntry][] => {
      if (!isRecord(entry) || typeof entry["text"] !== "string") return [];
      const { text: document, signature } = entry;
      return [[name, { text: document, signature: typeof signature === "string" ? signature : undefined }]];
    }),
  );
}
