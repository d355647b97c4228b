import type { Database } from "./database.ts";
import type { Builds } from "./store.ts";
import { textOf } from "./columns.ts";

const KIND = "build";
const KEPT = 50;

/** Reports of builds are facts: small, and no loss when they are gone. */
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
        // A full disk or a busy database: a build that has done its work does not fail for what is only told about it.
      }
    },
    *list() {
      const ids = database.all("SELECT key FROM facts WHERE kind = ? ORDER BY updated_ms DESC, key DESC", KIND);
      for (const { key } of ids) {
        const value = database.get("SELECT value FROM facts WHERE kind = ? AND key = ?", KIND, textOf(key))?.["value"];
        if (value instanceof Uint8Array) yield JSON.parse(new TextDecoder().decode(value)) as unknown;
      }
    },
  };
}
