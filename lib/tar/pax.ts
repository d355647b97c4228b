import { decodeName } from "../native/names.ts";
import { malformed } from "./header-read.ts";

/** Records of extended headers, in order; values are bytes because `SCHILY.xattr.*` are. */
export type PaxRecords = ReadonlyMap<string, Buffer>;

/**
 * Parses `LENGTH KEY=VALUE\n` records.
 * @throws {BuildError} `archive/malformed`
 */
export function parsePax(data: Buffer): [key: string, value: Buffer][] {
  const records: [string, Buffer][] = [];
  let at = 0;
  while (at < data.length) {
    // Some writers pad the last record with NULs.
    if (data[at] === 0) break;
    const space = data.indexOf(0x20, at);
    const digits = space < 0 || space - at > 10 ? "" : data.toString("latin1", at, space);
    const length = /^[0-9]+$/.test(digits) ? Number(digits) : 0;
    const equals = data.indexOf(0x3d, space);
    const end = at + length;
    if (length === 0 || end > data.length || data[end - 1] !== 0x0a || equals < 0 || equals >= end) {
      throw malformed("an extended header has a record of the wrong length");
    }
    records.push([decodeName(data.subarray(space + 1, equals)), Buffer.from(data.subarray(equals + 1, end - 1))]);
    at = end;
  }
  return records;
}

/** Parses a time in decimal seconds, to nanoseconds; further digits are cut off. */
export function parsePaxTime(value: Buffer): bigint {
  const match = /^(-?)([0-9]{1,18})(?:\.([0-9]*))?$/.exec(value.toString("latin1"));
  if (match === null) throw malformed("an extended header has a time that is no number");
  const [, sign, whole = "0", fraction = ""] = match;
  const ns = BigInt(whole) * 1_000_000_000n + BigInt(fraction.slice(0, 9).padEnd(9, "0"));
  return sign === "-" ? -ns : ns;
}

/** Parses a size or id. */
export function parsePaxNumber(value: Buffer): number {
  const text = value.toString("latin1");
  const number = /^-?[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(number)) throw malformed("an extended header has a number that is none");
  return number;
}
