import { encodeName } from "../native/names.ts";
import { BLOCK, type EntryType, floorSeconds, paddingOf, type TarEntry } from "./entry.ts";

/*
 * Headers as Go's archive/tar writes them in its PAX format, which is what BuildKit's layers are made of: plain ustar
 * where everything fits (the prefix field included), else one extended header with the records that do not, sorted.
 */

const TYPE_FLAGS: Readonly<Record<EntryType, string>> = {
  file: "0",
  link: "1",
  symlink: "2",
  char: "3",
  block: "4",
  directory: "5",
  fifo: "6",
};
const NAME_SIZE = 100;
const PREFIX_SIZE = 155;
/** Largest value of a 7-digit and of an 11-digit octal field. */
const MAX_OCTAL_7 = 0o7777777;
const MAX_OCTAL_11 = 0o77777777777;

/** All header blocks of an entry: 512 bytes, or more with an extended header. */
export function encodeHeader(entry: TarEntry): Buffer {
  const path = encodeName(entry.type === "directory" ? `${entry.path}/` : entry.path);
  const linkName = entry.linkName === "" ? undefined : encodeName(entry.linkName);
  const seconds = floorSeconds(entry.mtimeNs);
  const records = extendedRecords(entry, path, linkName, seconds);
  const onlyPath = records.length === 1 && records[0]?.key === "path";
  const split = onlyPath ? splitPath(path) : undefined;
  if (records.length === 0 || split !== undefined) {
    const block = Buffer.alloc(BLOCK);
    writeBlock(block, entry, split?.name ?? path, linkName, seconds);
    split?.prefix.copy(block, 345);
    writeChecksum(block);
    return block;
  }
  const data = encodeRecords(records);
  const padded = data.length + paddingOf(data.length);
  const out = Buffer.alloc(BLOCK + padded + BLOCK);
  writeExtendedBlock(out.subarray(0, BLOCK), path, data.length);
  data.copy(out, BLOCK);
  const block = out.subarray(BLOCK + padded);
  writeBlock(block, entry, asciiOnly(path), linkName === undefined ? undefined : asciiOnly(linkName), seconds);
  writeChecksum(block);
  return out;
}

/** Two blocks of zeros. Go's writer adds no more, so neither do we. */
export const END_OF_ARCHIVE_BYTES = 2 * BLOCK;

interface Record_ {
  readonly key: string;
  readonly value: Buffer;
}

function extendedRecords(
  entry: TarEntry,
  path: Buffer,
  linkName: Buffer | undefined,
  seconds: number,
): readonly Record_[] {
  const records: Record_[] = [];
  const add = (key: string, value: string | Buffer): void => {
    records.push({ key, value: typeof value === "string" ? Buffer.from(value) : value });
  };
  if (path.length > NAME_SIZE || !isAscii(path)) add("path", path);
  if (linkName !== undefined && (linkName.length > NAME_SIZE || !isAscii(linkName))) add("linkpath", linkName);
  if (entry.uid > MAX_OCTAL_7) add("uid", String(entry.uid));
  if (entry.gid > MAX_OCTAL_7) add("gid", String(entry.gid));
  if (entry.size > MAX_OCTAL_11) add("size", String(entry.size));
  if (seconds < 0 || seconds > MAX_OCTAL_11 || entry.mtimeNs % 1_000_000_000n !== 0n) {
    add("mtime", decimalTime(entry.mtimeNs));
  }
  // ustar has room for 7 octal digits and PAX has no key for devices; Linux's own limits (12 and 20 bits) fit.
  for (const [key, value] of entry.xattrs) add(`SCHILY.xattr.${key}`, value);
  return records.toSorted((left, right) => (left.key < right.key ? -1 : 1));
}

/** Seconds with up to nine decimals and no trailing zeros. */
function decimalTime(ns: bigint): string {
  const magnitude = ns < 0n ? -ns : ns;
  const fraction = String(magnitude % 1_000_000_000n)
    .padStart(9, "0")
    .replace(/0+$/, "");
  return `${ns < 0n ? "-" : ""}${magnitude / 1_000_000_000n}${fraction === "" ? "" : `.${fraction}`}`;
}

/** `LENGTH KEY=VALUE\n`, where LENGTH counts itself. POSIX pax, extended header. */
function encodeRecords(records: readonly Record_[]): Buffer {
  return Buffer.concat(
    records.flatMap(({ key, value }) => {
      const name = encodeName(key);
      const rest = name.length + value.length + 3;
      let length = rest + String(rest).length;
      if (String(length).length > String(rest).length) length = rest + String(length).length;
      return [Buffer.from(`${length} `), name, Buffer.from("="), value, Buffer.from("\n")];
    }),
  );
}

function writeExtendedBlock(block: Buffer, path: Buffer, size: number): void {
  const slash = path.lastIndexOf(0x2f);
  const folder = slash < 0 ? "" : `${path.toString("latin1", 0, slash)}/`;
  const file = path.toString("latin1", slash + 1);
  const name = asciiOnly(Buffer.from(`${folder}PaxHeaders.0${file === "" ? "" : `/${file}`}`, "latin1"));
  block.write(name.toString("latin1", 0, NAME_SIZE).replace(/\/+$/, ""), 0, "latin1");
  writeOctal(block, 100, 8, 0);
  writeOctal(block, 108, 8, 0);
  writeOctal(block, 116, 8, 0);
  writeOctal(block, 124, 12, size);
  writeOctal(block, 136, 12, 0);
  block.write("x", 156);
  block.write("ustar\x0000", 257);
  writeChecksum(block);
}

function writeBlock(block: Buffer, entry: TarEntry, name: Buffer, linkName: Buffer | undefined, seconds: number): void {
  writeText(block, 0, name);
  writeOctal(block, 100, 8, entry.mode);
  writeOctal(block, 108, 8, entry.uid > MAX_OCTAL_7 ? 0 : entry.uid);
  writeOctal(block, 116, 8, entry.gid > MAX_OCTAL_7 ? 0 : entry.gid);
  writeOctal(block, 124, 12, entry.size > MAX_OCTAL_11 ? 0 : entry.size);
  writeOctal(block, 136, 12, seconds < 0 || seconds > MAX_OCTAL_11 ? 0 : seconds);
  block.write(TYPE_FLAGS[entry.type], 156);
  if (linkName !== undefined) writeText(block, 157, linkName);
  block.write("ustar\x0000", 257);
  writeOctal(block, 329, 8, entry.deviceMajor);
  writeOctal(block, 337, 8, entry.deviceMinor);
}

/** A name field of 100 bytes. What is cut off must not leave a `/` at the end: some readers take that for a directory. */
function writeText(block: Buffer, at: number, text: Buffer): void {
  text.copy(block, at, 0, NAME_SIZE);
  if (text.length <= NAME_SIZE || text[NAME_SIZE - 1] !== 0x2f) return;
  let end = NAME_SIZE - 1;
  while (end > 0 && text[end - 1] === 0x2f) end -= 1;
  block.fill(0, at + end, at + NAME_SIZE);
}

const ZEROS = "00000000000";

function writeOctal(block: Buffer, at: number, width: number, value: number): void {
  const digits = value.toString(8);
  block.write(ZEROS.slice(0, Math.max(0, width - 1 - digits.length)) + digits, at, width - 1);
}

/** Sum of all bytes with the checksum field itself as spaces; six digits, NUL, space. */
function writeChecksum(block: Buffer): void {
  block.write("        ", 148);
  let sum = 0;
  for (let at = 0; at < BLOCK; at += 1) sum += block[at] ?? 0;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
}

/** Splits a long ASCII path at a `/` into the prefix and name fields, at the place Go's splitUSTARPath chooses. */
function splitPath(path: Buffer): { readonly prefix: Buffer; readonly name: Buffer } | undefined {
  if (!isAscii(path)) return undefined;
  const length =
    path.length > PREFIX_SIZE + 1 ? PREFIX_SIZE + 1 : path[path.length - 1] === 0x2f ? path.length - 1 : path.length;
  const slash = path.subarray(0, length).lastIndexOf(0x2f);
  const nameLength = path.length - slash - 1;
  if (slash <= 0 || nameLength > NAME_SIZE || nameLength === 0 || slash > PREFIX_SIZE) return undefined;
  return { prefix: path.subarray(0, slash), name: path.subarray(slash + 1) };
}

function isAscii(bytes: Buffer): boolean {
  for (const byte of bytes) if (byte >= 0x80 || byte === 0) return false;
  return true;
}

function asciiOnly(bytes: Buffer): Buffer {
  return isAscii(bytes) ? bytes : Buffer.from(bytes.filter((byte) => byte < 0x80 && byte !== 0));
}
