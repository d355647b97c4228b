import fc from "fast-check";
import { parsePaxTime } from "./pax.ts";
import { expect, test } from "vitest";
import { decodeName } from "../native/names.ts";
import { BLOCK, type EntryType, NO_XATTRS, paddingOf, type TarEntry } from "./entry.ts";
import { type TarEvent, TarReader } from "./read.ts";
import { headerOf } from "./testing.ts";

const PLAIN: TarEntry = {
  path: "etc/passwd",
  type: "file",
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: 0,
  mtimeNs: 1_700_000_000_000_000_000n,
  linkName: "",
  deviceMajor: 0,
  deviceMinor: 0,
  xattrs: NO_XATTRS,
};

function events(bytes: Buffer, chunkBytes = bytes.length): TarEvent[] {
  const reader = new TarReader();
  const found: TarEvent[] = [];
  for (let at = 0; at < bytes.length; at += Math.max(1, chunkBytes)) {
    found.push(...reader.push(bytes.subarray(at, at + Math.max(1, chunkBytes))));
  }
  reader.finish();
  return found;
}

function entriesOf(found: readonly TarEvent[]): TarEntry[] {
  return found.flatMap((event) => (event.kind === "entry" ? [event.entry] : []));
}

const nameByte = fc.integer({ min: 1, max: 255 }).filter((byte) => byte !== 0x2f);
const name = fc
  .uint8Array({ minLength: 1, maxLength: 60 })
  .map((bytes) => decodeName(bytes.map((byte) => (byte === 0 || byte === 0x2f ? 0x61 : byte))));
const path = fc.array(name, { minLength: 1, maxLength: 8 }).map((names) => names.join("/"));
const types: readonly EntryType[] = ["file", "link", "symlink", "char", "block", "directory", "fifo"];
const anyEntry: fc.Arbitrary<TarEntry> = fc
  .record({
    path,
    type: fc.constantFrom(...types),
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: fc.integer({ min: 0, max: 0xfffffffe }),
    gid: fc.integer({ min: 0, max: 0xfffffffe }),
    size: fc.integer({ min: 0, max: 2000 }),
    mtimeNs: fc.bigInt({ min: -(10n ** 20n), max: 10n ** 21n }),
    linkName: path,
    deviceMajor: fc.integer({ min: 0, max: 4095 }),
    deviceMinor: fc.integer({ min: 0, max: 1048575 }),
    xattrs: fc.dictionary(fc.stringMatching(/^(user|security)\.[a-z]{1,20}$/), fc.uint8Array({ maxLength: 700 })),
  })
  .map((entry) => ({
    ...entry,
    size: entry.type === "file" ? entry.size : 0,
    linkName: entry.type === "link" || entry.type === "symlink" ? entry.linkName : "",
    deviceMajor: entry.type === "char" || entry.type === "block" ? entry.deviceMajor : 0,
    deviceMinor: entry.type === "char" || entry.type === "block" ? entry.deviceMinor : 0,
    xattrs: new Map(Object.entries(entry.xattrs).map(([key, value]) => [key, Buffer.from(value)])),
  }));

test.each([
  { text: "1000000000000", ns: 10n ** 21n },
  { text: "-12.5", ns: -12_500_000_000n },
  { text: "9223372036854775807", ns: undefined },
])("a time of $text seconds is read", ({ text, ns }) => {
  if (ns === undefined) expect(() => parsePaxTime(Buffer.from(text))).toThrow("no number");
  else expect(parsePaxTime(Buffer.from(text))).toBe(ns);
});

test("every entry comes back as it was written, however the bytes arrive", () => {
  fc.assert(
    fc.property(
      fc.array(anyEntry, { maxLength: 5 }),
      fc.integer({ min: 1, max: 3000 }),
      nameByte,
      (entries, chunk, fill) => {
        const parts = entries.flatMap((entry) => [
          headerOf(entry),
          Buffer.alloc(entry.size, fill),
          Buffer.alloc(paddingOf(entry.size)),
        ]);
        const found = events(Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]), chunk);
        expect(entriesOf(found)).toEqual(entries);
        const content = found.flatMap((event) => (event.kind === "data" ? [...event.bytes] : []));
        expect(content.length).toBe(entries.reduce((sum, entry) => sum + entry.size, 0));
        expect(content.every((byte) => byte === fill)).toBe(true);
      },
    ),
  );
});

test.each([
  { name: "a wrong checksum", spoil: (block: Buffer) => block.write("x", 0, "latin1") },
  { name: "a number with a letter", spoil: (block: Buffer) => block.write("zz", 124, "latin1") },
  { name: "an end in the middle", spoil: () => 0, length: 700 },
])("refuses $name", ({ spoil, length }) => {
  const bytes = Buffer.concat([headerOf({ ...PLAIN, size: 600 }), Buffer.alloc(1024)]);
  spoil(bytes);
  expect(() => events(bytes.subarray(0, length ?? bytes.length))).toThrow(/Cannot read the archive/);
});
