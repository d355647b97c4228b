import type { SQLOutputValue } from "node:sqlite";
import { BuildError } from "../core/errors.ts";
import type { Digest } from "../core/digest.ts";

/*
 * Converts SQLite's values to ours. Only this folder writes the database, so a wrong type means a damaged file; text
 * that was written as a digest is one when read.
 */

function damaged(expected: string, value: unknown): BuildError {
  return new BuildError(
    "store/corrupt",
    `Cannot read the store's database: expected ${expected}, met ${typeof value}`,
    {
      hint: 'move the file "kiln.db" away: everything it knew is built or pulled again',
    },
  );
}

export function textOf(value: SQLOutputValue | undefined): string {
  if (typeof value !== "string") throw damaged("text", value);
  return value;
}

export function numberOf(value: SQLOutputValue | undefined): number {
  if (typeof value !== "number") throw damaged("a number", value);
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

/** Parses a JSON column; its writer in this folder knows its type. */
export function jsonIn(value: SQLOutputValue | undefined): unknown {
  return JSON.parse(textOf(value)) as unknown;
}
