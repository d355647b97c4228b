import type { ByteSource } from "./image-reader.ts";

/** A part of an ELF file, and where a process has it in memory. */
export interface ElfPart {
  readonly name: string;
  readonly address: bigint;
  readonly offset: number;
  readonly sizeBytes: number;
  readonly isWritable: boolean;
}

export interface Elf {
  readonly isLittleEndian: boolean;
  readonly sections: readonly ElfPart[];
  /** Parts that are loaded; without names. */
  readonly segments: readonly ElfPart[];
}

/** Limit of sections and of segments: linkers make a few dozen. */
const MAX_PARTS = 1024;
const PT_LOAD = 1;
const PF_W = 2;

/** Reads the tables of an ELF file; `undefined` for any other file. */
export function readElf(file: ByteSource): Elf | undefined {
  const head = file.read(0, 64);
  if (head.length < 52 || head.readUInt32BE(0) !== 0x7f454c46) return undefined;
  const is64 = head[4] === 2;
  const isLittleEndian = head[5] !== 2;
  if (is64 && head.length < 64) return undefined;
  const read = reader(isLittleEndian, is64);
  const word = is64 ? 8 : 4;
  const tables = 24 + word;
  const counts = tables + 2 * word + 4 + 2;
  const segmentTable = {
    offset: read.word(head, tables),
    size: read.half(head, counts),
    count: read.half(head, counts + 2),
  };
  const sectionTable = {
    offset: read.word(head, tables + word),
    size: read.half(head, counts + 4),
    count: read.half(head, counts + 6),
  };
  const names = read.half(head, counts + 8);
  const segments = rowsOf(file, segmentTable, is64 ? 56 : 32).flatMap((row): ElfPart[] => {
    if (read.int(row, 0) !== PT_LOAD) return [];
    const isWritable = (read.int(row, is64 ? 4 : 24) & PF_W) !== 0;
    const from = is64 ? 8 : 4;
    return [
      {
        name: "",
        offset: Number(read.word(row, from)),
        address: read.word(row, from + word),
        sizeBytes: Number(read.word(row, from + 3 * word)),
        isWritable,
      },
    ];
  });
  const rows = rowsOf(file, sectionTable, is64 ? 64 : 40);
  const part = (row: Buffer): Omit<ElfPart, "name"> => ({
    isWritable: false,
    address: read.word(row, 8 + word),
    offset: Number(read.word(row, 8 + 2 * word)),
    sizeBytes: Number(read.word(row, 8 + 3 * word)),
  });
  const [nameRow] = rows.slice(names, names + 1);
  const nameTable =
    nameRow === undefined
      ? Buffer.alloc(0)
      : file.read(part(nameRow).offset, Math.min(part(nameRow).sizeBytes, 1 << 16));
  const sections = rows.map((row) => ({ name: textAt(nameTable, read.int(row, 0)), ...part(row) }));
  return { isLittleEndian, sections, segments };
}

function reader(
  isLittleEndian: boolean,
  is64: boolean,
): {
  half(bytes: Buffer, at: number): number;
  int(bytes: Buffer, at: number): number;
  word(bytes: Buffer, at: number): bigint;
} {
  const int = (bytes: Buffer, at: number): number => (isLittleEndian ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at));
  return {
    half: (bytes, at) => (isLittleEndian ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at)),
    int,
    word: (bytes, at) => {
      if (!is64) return BigInt(int(bytes, at));
      return isLittleEndian ? bytes.readBigUInt64LE(at) : bytes.readBigUInt64BE(at);
    },
  };
}

function rowsOf(
  file: ByteSource,
  table: { readonly offset: bigint; readonly size: number; readonly count: number },
  leastBytes: number,
): readonly Buffer[] {
  const count = Math.min(table.count, MAX_PARTS);
  if (table.size < leastBytes || table.offset > BigInt(file.sizeBytes)) return [];
  const bytes = file.read(Number(table.offset), count * table.size);
  return Array.from({ length: Math.floor(bytes.length / table.size) }, (_, index) =>
    bytes.subarray(index * table.size, (index + 1) * table.size),
  );
}

function textAt(table: Buffer, at: number): string {
  const end = table.indexOf(0, at);
  return at >= table.length ? "" : table.toString("latin1", at, end < 0 ? table.length : end);
}
