import type { SQLOutputValue } from "node:sqlite";
import { BuildError } from "../core/errors.ts";
import { type Digest, isDigest } from "../core/digest.ts";
import { readJsonAs, type Shape } from "../core/shape.ts";
import type { Row } from "./database.ts";
import type { SnapshotId } from "./model.ts";
import { snapshotIdShape } from "./snapshot-id.ts";

/*
 * Converts SQLite's values to ours. Only this folder writes the database, so a wrong type means a damaged file.
 */

function damaged(why: string): BuildError {
  return new BuildError("store/corrupt", `Cannot read the store's database: ${why}`, {
    hint: '"kiln fsck --repair" removes such rows; or move "kiln.db" away: everything it knew is built or pulled again',
  });
}

export function textOf(value: SQLOutputValue | undefined): string {
  if (typeof value !== "string") throw damaged(`expected text, met ${typeof value}`);
  return value;
}

export function numberOf(value: SQLOutputValue | undefined): number {
  if (typeof value !== "number") throw damaged(`expected a number, met ${typeof value}`);
  return value;
}

export function optionalText(value: SQLOutputValue | undefined): string | undefined {
  return value === null ? undefined : textOf(value);
}

export function optionalNumber(value: SQLOutputValue | undefined): number | undefined {
  return value === null ? undefined : numberOf(value);
}

export function digestIn(value: SQLOutputValue | undefined): Digest {
  const text = textOf(value);
  if (!isDigest(text)) throw damaged(`expected a digest, met ${JSON.stringify(text)}`);
  return text;
}

export function snapshotIdIn(value: SQLOutputValue | undefined): SnapshotId {
  const text = textOf(value);
  if (!snapshotIdShape.fits(text)) throw damaged(`expected a snapshot's id, met ${JSON.stringify(text)}`);
  return text;
}

export function optionalDigest(value: SQLOutputValue | undefined): Digest | undefined {
  return value === null ? undefined : digestIn(value);
}

/** Reads a column of JSON. @throws {BuildError} `store/corrupt` with the place of what is wrong in it */
export function jsonIn<T>(row: Row, column: string, shape: Shape<T>): T {
  return readJsonAs(shape, textOf(row[column]), (why) => damaged(`in the column "${column}", ${why}`));
}
