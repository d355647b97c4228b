import { parseJson } from "../core/json.ts";
import type { Database } from "./database.ts";
import type { Builds } from "./store.ts";
import { textOf } from "./columns.ts";

const KIND = "build";
const KEPT = 50;

/** Opens the reports of builds. They are facts: small, and losing them does no harm. */
export function openBuilds(database: Database, nowMs: () => number): Builds {
  return {
    add(id, report) {
      try {
        database.transaction(() => {
          database.run(
            "INSERT OR REPLACE INTO facts (kind, key, value, blobs, updated_ms) VALUES (?, ?, ?, '[]', ?)",
            KIND,
            id,
            new TextEncoder().encode(JSON.stringify(report)),
            nowMs(),
          );
          database.run(
            `DELETE FROM facts WHERE kind = ?1
             AND key IN (SELECT key FROM facts WHERE kind = ?1 ORDER BY updated_ms DESC, key DESC LIMIT -1 OFFSET ?2)`,
            KIND,
            KEPT,
          );
        });
      } catch {
        // A full disk or a busy database: a finished build does not fail because its report cannot be written.
      }
    },
    *list() {
      const ids = database.all("SELECT key FROM facts WHERE kind = ? ORDER BY updated_ms DESC, key DESC", KIND);
      for (const { key } of ids) {
        const value = database.get("SELECT value FROM facts WHERE kind = ? AND key = ?", KIND, textOf(key))?.["value"];
        if (value instanceof Uint8Array) yield parseJson(new TextDecoder().decode(value));
      }
    },
  };
}
