import { BuildError } from "../core/errors.ts";
import { decodeName } from "../native/names.ts";
import { BLOCK, type EntryType } from "./entry.ts";

/** One 512-byte header as it stands, before extended headers are applied. */
export interface RawHeader {
  readonly path: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtimeSeconds: number;
  /** One character; NUL is read as `0`. */
  readonly typeFlag: string;
  readonly linkName: string;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
}

const ENTRY_TYPES: Readonly<Record<string, EntryType>> = {
  "0": "file",
  "1": "link",
  "2": "symlink",
  "3": "char",
  "4": "block",
  "5": "directory",
  "6": "fifo",
  "7": "file",
  /** GNU tar's incremental dumps. */
  D: "directory",
};

/** Returns the type of a member; `undefined` for an unknown one. */
export function entryTypeOf(typeFlag: string): EntryType | undefined {
  return ENTRY_TYPES[typeFlag];
}

export function malformed(what: string): BuildError {
  return new BuildError("archive/malformed", `Cannot read the archive: ${what}`);
}

export function isZeroBlock(block: Buffer): boolean {
  for (let at = 0; at < BLOCK; at += 1) if (block[at] !== 0) return false;
  return true;
}

/**
 * Parses v7, ustar and GNU headers.
 * @throws {BuildError} `archive/malformed` when the checksum or a number is wrong
 */
export function parseHeader(block: Buffer): RawHeader {
  verifyChecksum(block);
  const typeFlag = block[156] === 0 ? "0" : String.fromCharCode(block[156] ?? 0);
  const isPosix = block.toString("latin1", 257, 263) === "ustar\0";
  const prefix = isPosix ? text(block, 345, 155) : "";
  const name = text(block, 0, 100);
  return {
    path: prefix === "" ? name : `${prefix}/${name}`,
    mode: parseNumber(block, 100, 8),
    uid: parseNumber(block, 108, 8),
    gid: parseNumber(block, 116, 8),
    size: parseNumber(block, 124, 12),
    mtimeSeconds: parseNumber(block, 136, 12),
    typeFlag,
    linkName: text(block, 157, 100),
    // Old tars leave garbage here for anything but devices.
    deviceMajor: typeFlag === "3" || typeFlag === "4" ? parseNumber(block, 329, 8) : 0,
    deviceMinor: typeFlag === "3" || typeFlag === "4" ? parseNumber(block, 337, 8) : 0,
  };
}

/**
 * Parses a number in octal digits, or in base 256 when the first bit is set (GNU; two's complement, the second bit is
 * the sign).
 */
export function parseNumber(block: Buffer, offset: number, width: number): number {
  const lead = block[offset] ?? 0;
  if (lead >= 0x80) {
    let value = BigInt(lead & 0x40 ? (lead & 0x7f) - 0x80 : lead & 0x7f);
    for (let next = offset + 1; next < offset + width; next += 1) value = (value << 8n) | BigInt(block[next] ?? 0);
    return toSafeNumber(value);
  }
  let value = 0;
  let next = offset;
  const end = offset + width;
  while (next < end && (block[next] === 0x20 || block[next] === 0)) next += 1;
  for (; next < end; next += 1) {
    const digit = (block[next] ?? 0) - 0x30;
    if (digit === -0x30 || digit === -0x10) break;
    if (digit < 0 || digit > 7) throw malformed("a number in a header is neither octal nor base 256");
    value = value * 8 + digit;
  }
  return value;
}

/** Reads a text field: up to its NUL, or all of it. */
function text(block: Buffer, offset: number, width: number): string {
  let end = offset;
  while (end < offset + width && block[end] !== 0) end += 1;
  return end === offset ? "" : decodeName(block.subarray(offset, end));
}

function toSafeNumber(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER) || value < BigInt(Number.MIN_SAFE_INTEGER)) {
    throw malformed("a number in a header is out of range");
  }
  return Number(value);
}

/** Verifies the checksum. Some old tars summed signed bytes, so both sums are valid. */
function verifyChecksum(block: Buffer): void {
  let unsigned = 8 * 0x20;
  let signed = 8 * 0x20;
  for (let at = 0; at < BLOCK; at += 1) {
    if (at === 148) at = 156;
    const byte = block[at] ?? 0;
    unsigned += byte;
    signed += byte < 0x80 ? byte : byte - 0x100;
  }
  const stored = parseNumber(block, 148, 8);
  if (stored !== unsigned && stored !== signed) throw malformed("a header's checksum does not match");
}
