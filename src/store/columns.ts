import type { SQLOutputValue } from "node:sqlite";
import type { Digest } from "../core/digest.ts";

/*
 * From SQLite's values to ours. The database is written by this folder alone, so a wrong type is a broken assumption
 * and crashes; text that was a digest when written is one when read.
 */

export function textOf(value: SQLOutputValue | undefined): string {
  if (typeof value !== "string") throw new Error(`Expected text in the store's database, met ${typeof value}`);
  return value;
}

export function numberOf(value: SQLOutputValue | undefined): number {
  if (typeof value !== "number") throw new Error(`Expected a number in the store's database, met ${typeof value}`);
  return value;
}

export function optionalText(value: SQLOutputValue | undefined): string | undefined {
  return value === null ? undefined : textOf(value);
}

export function optionalNumber(value: SQLOutputValue | undefined): number | undefined {
  return value === null ? undefined : numberOf(value);
}

export function digestIn(value: SQLOutputValue | undefined): Digest {
  return textOf(value) as Digest;
}

export function optionalDigest(value: SQLOutputValue | undefined): Digest | undefined {
  return value === null ? undefined : digestIn(value);
}

/** A JSON column; whoever wrote it, in this folder, knows its type. */
export function jsonIn(value: SQLOutputValue | undefined): unknown {
  return JSON.parse(textOf(value)) as unknown;
}
