import type { Digest } from "../core/digest.ts";
import { descriptorShape } from "../core/descriptor-shape.ts";
import type { Descriptor } from "../core/oci.ts";
import { jsonIn, numberOf, textOf } from "./columns.ts";
import type { Database, Row } from "./database.ts";
import type { Holds } from "./holds.ts";
import type { RefRow } from "./model.ts";
import { forgetPulled } from "./pulled.ts";
import type { Refs } from "./store.ts";

export function openRefs(database: Database, holds: Holds, nowMs: () => number): Refs {
  return {
    get(name) {
      return holds.keep(
        () => {
          const row = database.get("SELECT * FROM refs WHERE name = ?", name);
          return row === undefined ? undefined : refOf(row);
        },
        (ref) => (ref === undefined ? [] : [`image:${ref.target.digest}`, `blob:${ref.target.digest}`]),
      );
    },
    set(name, target) {
      setRef(database, name, target, nowMs());
    },
    list() {
      return database.all("SELECT * FROM refs ORDER BY name").map(refOf);
    },
    namesOf(target: Digest) {
      return database
        .all("SELECT name FROM refs WHERE digest = ? ORDER BY name", target)
        .map((row) => textOf(row["name"]));
    },
    delete(name) {
      return database.run("DELETE FROM refs WHERE name = ?", name) > 0;
    },
  };
}

/**
 * Points a name at a manifest or index, and forgets its earlier meaning here and in its registry. A name that already
 * points there is not written again.
 */
export function setRef(database: Database, name: string, target: Descriptor, nowMs: number): void {
  forgetPulled(database, name);
  database.run(
    `INSERT INTO refs (name, digest, descriptor, updated_ms) VALUES (?, ?, ?, ?)
     ON CONFLICT (name) DO UPDATE SET digest = excluded.digest, descriptor = excluded.descriptor, updated_ms = excluded.updated_ms
     WHERE digest <> excluded.digest OR descriptor <> excluded.descriptor`,
    name,
    target.digest,
    JSON.stringify(target),
    nowMs,
  );
}

function refOf(row: Row): RefRow {
  return {
    name: textOf(row["name"]),
    target: jsonIn(row, "descriptor", descriptorShape),
    updatedAtMs: numberOf(row["updated_ms"]),
  };
}
