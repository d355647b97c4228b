// Takes out of a startup snapshot the compile cache of Node's built-in modules: a third of the file, which every start
// would read. The modules kiln uses are in the heap of the snapshot, compiled; the few it loads later compile in a moment.
// (Built with `withoutCodeCache` the file is smaller still, but those in the heap are then compiled when they are called.)
//
// The cache is the last thing in the file: a count, then for each module its name and its data, each after its length;
// all numbers are 64 bits, little-endian. A file that does not end in such a list is left as it is.
import { readFileSync, writeFileSync } from "node:fs";

const [path] = process.argv.slice(2);
const blob = readFileSync(path);
const count = countBeforeList();
if (count === undefined) {
  console.warn("kiln: this Node's snapshots have another form: the start stays a few milliseconds slower");
} else {
  blob.writeBigUInt64LE(0n, count);
  writeFileSync(path, blob.subarray(0, count + 8));
}

/** The offset of the count. Of an offset too early the list cannot be read, of one too late the count is wrong. */
function countBeforeList() {
  for (let offset = 0; offset + 8 < blob.length; offset += 1) {
    const expected = lengthAt(offset);
    if (expected > 0 && expected < 1000 && entriesFrom(offset + 8) === expected) return offset;
  }
  return undefined;
}

/** How many entries there are from an offset to the end of the file; nothing when they do not end there. */
function entriesFrom(start) {
  let entries = 0;
  let at = start;
  while (at < blob.length) {
    const name = lengthAt(at);
    if (!(name > 0 && name < 200)) return undefined;
    if (!/^[\w./-]+$/.test(blob.toString("latin1", at + 8, at + 8 + name))) return undefined;
    at += 8 + name;
    at += 8 + lengthAt(at);
    entries += 1;
  }
  return at === blob.length ? entries : undefined;
}

/** A length in bytes; past the end, and when it is no length at all, one that fits nowhere. */
function lengthAt(offset) {
  return offset + 8 <= blob.length ? Number(blob.readBigUInt64LE(offset)) : Number.POSITIVE_INFINITY;
}
