import { malformed, parseNumber } from "./header-read.ts";
import { parsePaxNumber, type PaxRecords } from "./pax.ts";

/** A run of real bytes in a sparse file; between runs there are zeros. */
export interface SparseRun {
  readonly offset: number;
  readonly length: number;
}

/**
 * The layout of a sparse file's bytes in its real size. `map-in-data` (GNU 1.0) has the runs before the data itself.
 */
export type SparseLayout =
  | { readonly kind: "known"; readonly realSize: number; readonly runs: readonly SparseRun[] }
  | { readonly kind: "map-in-data"; readonly realSize: number };

const MAX_RUNS = 1_000_000;

/**
 * Reads the layout from PAX records of GNU formats 0.0, 0.1 and 1.0; `undefined` when the file is not sparse. GNU tar
 * manual, "Sparse Formats".
 */
export function sparseByPax(records: PaxRecords, repeated: readonly [string, Buffer][]): SparseLayout | undefined {
  const size = records.get("GNU.sparse.realsize") ?? records.get("GNU.sparse.size");
  if (size === undefined) return undefined;
  const realSize = parsePaxNumber(size);
  if (records.get("GNU.sparse.major")?.toString("latin1") === "1") return { kind: "map-in-data", realSize };
  const map = records.get("GNU.sparse.map");
  if (map !== undefined) {
    const text = map.toString("latin1");
    return known(realSize, text === "" ? [] : text.split(",").map(Number));
  }
  // 0.0 repeats the same two keys, so they are read in order and not by key.
  const numbers = repeated
    .filter(([key]) => key === "GNU.sparse.offset" || key === "GNU.sparse.numbytes")
    .map(([, value]) => parsePaxNumber(value));
  return known(realSize, numbers);
}

/** The old GNU format: four runs in the header (type `S`), the rest in blocks that follow it. */
export interface OldSparse {
  readonly realSize: number;
  readonly numbers: number[];
  readonly hasMore: boolean;
}

export function oldSparseHeader(block: Buffer): OldSparse {
  return { realSize: parseNumber(block, 483, 12), numbers: oldRuns(block, 386, 4), hasMore: block[482] !== 0 };
}

/** Adds a block of 21 further runs to the list of `sparse`, in its place: there may be many blocks. */
export function oldSparseExtension(block: Buffer, sparse: OldSparse): OldSparse {
  if (sparse.numbers.length > 2 * MAX_RUNS) throw malformed("a sparse file has too many runs");
  sparse.numbers.push(...oldRuns(block, 0, 21));
  return { ...sparse, hasMore: block[504] !== 0 };
}

/**
 * GNU 1.0's map as its blocks arrive: decimal numbers, one a line: the number of runs, then offset and length of each,
 * padded to a block.
 */
export class SparseMapText {
  readonly #numbers: number[] = [];
  #count: number | undefined;
  #line = "";

  /**
   * Takes the next block.
   * @returns the numbers of all runs once they are there
   * @throws {BuildError} `archive/malformed`
   */
  add(block: Buffer): readonly number[] | undefined {
    const lines = (this.#line + block.toString("latin1")).split("\n");
    this.#line = lines.pop() ?? "";
    for (const line of lines) {
      if (this.#count !== undefined) {
        if (this.#numbers.length === 2 * this.#count) break;
        this.#numbers.push(Number(line));
      } else if (/^[0-9]{1,7}$/.test(line) && Number(line) <= MAX_RUNS) this.#count = Number(line);
      else throw malformed("a sparse file has a broken map");
    }
    // No number is as long as that.
    if (this.#line.length > 512) throw malformed("a sparse file has a broken map");
    return this.#count !== undefined && this.#numbers.length === 2 * this.#count ? this.#numbers : undefined;
  }
}

function oldRuns(block: Buffer, offset: number, count: number): number[] {
  const numbers: number[] = [];
  for (let index = 0; index < count; index += 1) {
    const start = offset + index * 24;
    if (block[start] === 0) break;
    numbers.push(parseNumber(block, start, 12), parseNumber(block, start + 12, 12));
  }
  return numbers;
}

/**
 * Checks that runs are in order, apart and inside the file.
 * @throws {BuildError} `archive/malformed`
 */
export function known(realSize: number, numbers: readonly number[]): SparseLayout {
  const runs: SparseRun[] = [];
  let end = 0;
  if (numbers.length % 2 !== 0 || numbers.length > 2 * MAX_RUNS) throw malformed("a sparse file has a broken map");
  for (let index = 0; index < numbers.length; index += 2) {
    const [offset = -1, length = -1] = numbers.slice(index, index + 2);
    if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < end || length < 0) {
      throw malformed("a sparse file's map is not in order");
    }
    end = offset + length;
    if (length > 0) runs.push({ offset, length });
  }
  if (end > realSize || realSize < 0) throw malformed("a sparse file's map goes beyond its size");
  return { kind: "known", realSize, runs };
}
