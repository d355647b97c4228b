import { parseJson } from "../core/json.ts";
import { DIGEST, list } from "../core/shape.ts";
import { numberOf, textOf } from "./columns.ts";
import type { Database } from "./database.ts";
import type { Holds } from "./holds.ts";
import type { Facts } from "./store.ts";

const STAT_INDEX = "stat-index";
const BLOBS = list(DIGEST);

export function openFacts(database: Database, holds: Holds, nowMs: () => number): Facts {
  const facts: Facts = {
    get(kind, key) {
      return holds.keep(
        () => {
          const row = database.get("SELECT value, blobs, updated_ms FROM facts WHERE kind = ? AND key = ?", kind, key);
          const value = row?.["value"];
          // A fact is only remembered: a damaged one was never known.
          const blobs = parseJson(textOf(row?.["blobs"] ?? ""));
          if (row === undefined || !(value instanceof Uint8Array) || !BLOBS.fits(blobs)) return undefined;
          return { value, blobs, updatedAtMs: numberOf(row["updated_ms"]) };
        },
        (fact) => fact?.blobs.map((digest) => `blob:${digest}` as const) ?? [],
      );
    },
    set(kind, key, { value, blobs = [] }) {
      database.run(
        `INSERT INTO facts (kind, key, value, blobs, updated_ms) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value, blobs = excluded.blobs, updated_ms = excluded.updated_ms`,
        kind,
        key,
        value,
        JSON.stringify(blobs),
        nowMs(),
      );
    },
    delete(kind, key) {
      database.run("DELETE FROM facts WHERE kind = ? AND key = ?", kind, key);
    },
    loadStatIndex: (key) => facts.get(STAT_INDEX, key)?.value,
    saveStatIndex: (key, bytes) => facts.set(STAT_INDEX, key, { value: bytes }),
  };
  return facts;
}
