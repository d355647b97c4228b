import { descriptorShape } from "../core/descriptor-shape.ts";
import { BuildError } from "../core/errors.ts";
import { DIGEST, list, type Shape, TEXT } from "../core/shape.ts";
import { jsonIn, textOf } from "./columns.ts";
import type { Database, Row } from "./database.ts";
import { keyPartShape } from "./key-part-shape.ts";
import { snapshotIdShape } from "./snapshot-id.ts";

/** An error for a row with damaged JSON. Rows hold nothing that cannot be built or pulled again. */
export interface DamagedRow {
  readonly table: string;
  /** The values of the table's key columns. */
  readonly key: readonly string[];
  /** The column, and what is wrong in it. */
  readonly why: string;
}

interface Table {
  readonly keys: readonly string[];
  /** The columns of JSON. An image's snapshots and an index's manifests are told apart where they are read. */
  readonly columns: Readonly<Record<string, Shape<unknown>>>;
}

const TABLES: Readonly<Record<string, Table>> = {
  records: { keys: ["id"], columns: { layers: list(snapshotIdShape), parts: list(keyPartShape) } },
  images: { keys: ["digest"], columns: { members: list(TEXT) } },
  layer_blobs: { keys: ["diff_id", "digest", "repository"], columns: { descriptor: descriptorShape } },
  refs: { keys: ["name"], columns: { descriptor: descriptorShape } },
  facts: { keys: ["kind", "key"], columns: { blobs: list(DIGEST) } },
};

export function findDamagedRows(database: Database): readonly DamagedRow[] {
  return Object.entries(TABLES).flatMap(([table, { keys, columns }]) =>
    database.all(`SELECT ${[...keys, ...Object.keys(columns)].join(", ")} FROM ${table}`).flatMap((row) => {
      const why = faultIn(row, columns);
      return why === undefined ? [] : [{ table, key: keys.map((name) => textOf(row[name])), why }];
    }),
  );
}

export function removeRows(database: Database, rows: readonly DamagedRow[]): void {
  for (const { table, key } of rows) {
    const keys = TABLES[table]?.keys ?? [];
    database.run(`DELETE FROM ${table} WHERE ${keys.map((name) => `${name} = ?`).join(" AND ")}`, ...key);
  }
}

function faultIn(row: Row, columns: Readonly<Record<string, Shape<unknown>>>): string | undefined {
  try {
    for (const [column, shape] of Object.entries(columns)) jsonIn(row, column, shape);
    return undefined;
  } catch (error) {
    if (error instanceof BuildError) return error.message.slice(error.message.indexOf(": ") + 2);
    throw error;
  }
}
