// The compile cache in a startup snapshot of Node 24. It is the last part of the file: a count, then for each module
// its name and its data, each after its length; all numbers are 64 bits, little-endian.

/** Copies the snapshot with an empty compile cache; `undefined` for one that does not end in such a list. */
export function withoutCompileCache(blob: Buffer): Buffer | undefined {
  const count = countBeforeList(blob);
  if (count === undefined) return undefined;
  const slim = Buffer.from(blob.subarray(0, count + 8));
  slim.writeBigUInt64LE(0n, count);
  return slim;
}

/**
 * Finds the offset of the count. At an offset too early the list cannot be read; at one too late the count is wrong.
 */
function countBeforeList(blob: Buffer): number | undefined {
  for (let offset = 0; offset + 8 < blob.length; offset += 1) {
    const expected = lengthAt(blob, offset);
    if (expected > 0 && expected < 1000 && entriesFrom(blob, offset + 8) === expected) return offset;
  }
  return undefined;
}

/** Counts the entries from an offset to the end of the file; `undefined` when they do not end there. */
function entriesFrom(blob: Buffer, start: number): number | undefined {
  let entries = 0;
  let at = start;
  while (at < blob.length) {
    const name = lengthAt(blob, at);
    if (!(name > 0 && name < 200)) return undefined;
    if (!/^[\w./-]+$/.test(blob.toString("latin1", at + 8, at + 8 + name))) return undefined;
    at += 8 + name;
    at += 8 + lengthAt(blob, at);
    entries += 1;
  }
  return at === blob.length ? entries : undefined;
}

/** Reads a length in bytes. Past the end, or when it is not a length, it returns one that fits nowhere. */
function lengthAt(blob: Buffer, offset: number): number {
  return offset + 8 <= blob.length ? Number(blob.readBigUInt64LE(offset)) : Number.POSITIVE_INFINITY;
}
