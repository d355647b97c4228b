// The compile cache in a startup snapshot of Node 24. It is the last thing in the file: a count, then for each module its name and
// its data, each after its length; all numbers are 64 bits, little-endian.

/**
 * A copy of the snapshot whose compile cache is empty; `undefined` for one that does not end in such a list.
 */
export function withoutCompileCache(blob: Buffer): Buffer | undefined {
  const count = countBeforeList(blob);
  if (count === undefined) return undefined;
  const slim = Buffer.from(blob.subarray(0, count + 8));
  slim.writeBigUInt64LE(0n, count);
  return slim;
}

/** The offset of the count. Of an offset too early the list cannot be read, of one too late the count is wrong. */
function countBeforeList(blob: Buffer): number | undefined {
  for (let offset = 0; offset + 8 < blob.length; offset += 1) {
    const expected = lengthAt(blob, offset);
    if (expected > 0 && expected < 1000 && entriesFrom(blob, offset + 8) === expected) return offset;
  }
  return undefined;
}

/** How many entries there are from an offset to the end of the file; nothing when they do not end there. */
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

/** A length in bytes; past the end, and when it is no length at all, one that fits nowhere. */
function lengthAt(blob: Buffer, offset: number): number {
  return offset + 8 <= blob.length ? Number(blob.readBigUInt64LE(offset)) : Number.POSITIVE_INFINITY;
}
