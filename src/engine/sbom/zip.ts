import { inflateRawSync } from "node:zlib";
import type { ByteSource } from "./image-reader.ts";

/** A file in a zip archive. */
export interface ZipEntry {
  readonly name: string;
  readonly method: number;
  readonly packedBytes: number;
  readonly sizeBytes: number;
  readonly headerOffset: number;
}

const END = 0x06054b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
const END_BYTES = 22;
const MAX_COMMENT_BYTES = 65_535;
const MAX_DIRECTORY_BYTES = 64 << 20;
const STORED = 0;
const DEFLATED = 8;

/** Lists a zip archive from its directory at the end; nothing for a file that is none. Bytes in front of an archive are allowed. */
export function* zipEntries(file: ByteSource): Generator<ZipEntry> {
  const tailStart = Math.max(0, file.sizeBytes - END_BYTES - MAX_COMMENT_BYTES);
  const tail = file.read(tailStart, END_BYTES + MAX_COMMENT_BYTES);
  const end = lastEnd(tail);
  if (end === undefined) return;
  const directoryBytes = tail.readUInt32LE(end + 12);
  if (directoryBytes > MAX_DIRECTORY_BYTES) return;
  // Offsets count from the beginning of the archive, before which a launcher script may lie.
  const directoryStart = tailStart + end - directoryBytes;
  const shift = directoryStart - tail.readUInt32LE(end + 16);
  if (directoryStart < 0 || shift < 0) return;
  const directory = file.read(directoryStart, directoryBytes);
  for (let at = 0; at + 46 <= directory.length && directory.readUInt32LE(at) === CENTRAL;) {
    const nameBytes = directory.readUInt16LE(at + 28);
    yield {
      name: directory.toString("utf8", at + 46, at + 46 + nameBytes),
      method: directory.readUInt16LE(at + 10),
      packedBytes: directory.readUInt32LE(at + 20),
      sizeBytes: directory.readUInt32LE(at + 24),
      headerOffset: shift + directory.readUInt32LE(at + 42),
    };
    at += 46 + nameBytes + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32);
  }
}

function lastEnd(tail: Buffer): number | undefined {
  for (let at = tail.length - END_BYTES; at >= 0; at -= 1) {
    if (tail.readUInt32LE(at) === END) return at;
  }
  return undefined;
}

/** Returns where an entry's bytes begin; `undefined` for a damaged one. */
function contentOffset(file: ByteSource, entry: ZipEntry): number | undefined {
  const header = file.read(entry.headerOffset, 30);
  if (header.length < 30 || header.readUInt32LE(0) !== LOCAL) return undefined;
  return entry.headerOffset + 30 + header.readUInt16LE(26) + header.readUInt16LE(28);
}

/** Reads an entry; `undefined` where it is damaged, larger than the limit, or packed in another way. */
export function readZipEntry(file: ByteSource, entry: ZipEntry, maxBytes: number): Buffer | undefined {
  const offset = contentOffset(file, entry);
  if (offset === undefined || entry.packedBytes > maxBytes || entry.sizeBytes > maxBytes) return undefined;
  const packed = file.read(offset, entry.packedBytes);
  if (entry.method === STORED) return packed;
  if (entry.method !== DEFLATED) return undefined;
  try {
    return inflateRawSync(packed, { maxOutputLength: maxBytes });
  } catch {
    // Damaged, or larger than it says.
    return undefined;
  }
}

/** Opens a stored entry as a source of its own, without reading it; `undefined` where it is compressed or damaged. */
export function storedEntry(file: ByteSource, entry: ZipEntry): ByteSource | undefined {
  if (entry.method !== STORED) return undefined;
  const start = contentOffset(file, entry);
  if (start === undefined || start + entry.sizeBytes > file.sizeBytes) return undefined;
  const { sizeBytes } = entry;
  return {
    sizeBytes,
    read: (offset, length) => file.read(start + Math.max(0, offset), Math.min(length, sizeBytes - Math.max(0, offset))),
  };
}
