import { spawnSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  openSync,
  closeSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { BuildError } from "../core/errors.ts";
import { locateNative } from "../native/locate.ts";
import { PACK_SCAN } from "./pack.ts";
import { TarReader } from "./read.ts";
import { unpackArchive } from "./unpack.ts";

const native = locateNative();
const hasGnuTar = spawnSync("tar", ["--version"], { encoding: "utf8" }).stdout.includes("GNU tar");
if (!hasGnuTar) console.warn("GNU tar is not installed: reading its formats is not tested");

let directory = "";
const longName = `${"d".repeat(90)}/${"e".repeat(90)}/${"f".repeat(140)}`;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "kiln-dialects-"));
  const from = join(directory, "from");
  mkdirSync(join(from, longName, ".."), { recursive: true });
  mkdirSync(join(from, "empty"));
  for (const [name, text] of [
    [longName, "long"],
    ["plain", "plain text"],
    ["nothing", ""],
  ])
    writeFileSync(join(from, name ?? ""), text ?? "");
  symlinkSync("x".repeat(120), join(from, "symlink"));
  const fd = openSync(join(from, "sparse"), "w");
  // Thirty runs: more than fit into the old format's header and its first extension.
  for (let run = 1; run <= 30; run += 1) writeSync(fd, `run ${run}`, run * 262_144);
  closeSync(fd);
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

test.skipIf(!hasGnuTar).each([
  { name: "GNU", options: ["--format=gnu"] },
  { name: "old GNU, sparse", options: ["--format=oldgnu", "--sparse"] },
  { name: "GNU, sparse", options: ["--format=gnu", "--sparse"] },
  { name: "PAX", options: ["--format=pax"] },
  { name: "PAX, sparse 0.0", options: ["--format=pax", "--sparse-version=0.0", "--sparse"] },
  { name: "PAX, sparse 0.1", options: ["--format=pax", "--sparse-version=0.1", "--sparse"] },
  { name: "PAX, sparse 1.0", options: ["--format=pax", "--sparse-version=1.0", "--sparse"] },
  { name: "GNU with an old date", options: ["--format=gnu", "--mtime=@-86400"] },
  {
    name: "GNU with a late date and a large id",
    options: ["--format=gnu", "--mtime=@99999999999", "--owner=:4000000000"],
  },
])("reads what GNU tar writes: $name", async ({ options }) => {
  const made = spawnSync("tar", ["-C", join(directory, "from"), ...options, "-cf", "-", "."], { maxBuffer: 1 << 28 });
  expect(made.stderr.toString()).toBe("");
  const to = mkdtempSync(join(directory, "to-"));
  const owner = { kind: "fixed", uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 } as const;
  await unpackArchive(inPieces(made.stdout, 70_001), { native, directory: to, owner }, new AbortController().signal);
  for (const name of [longName, "plain", "nothing", "sparse"]) {
    expect(readFileSync(join(to, name)).equals(readFileSync(join(directory, "from", name))) ? name : undefined).toBe(
      name,
    );
  }
  const [ours, theirs] = [to, join(directory, "from")].map((root) =>
    native.scanTreeSync(-100, { path: root, ...PACK_SCAN }),
  );
  const paths = (scan: typeof ours): string[] =>
    Array.from({ length: scan?.count ?? 0 }, (_, index) => scan?.path(index) ?? "");
  expect(paths(ours)).toEqual(paths(theirs));
  expect(native.readlinkat(-100, join(to, "symlink"))).toBe("x".repeat(120));
  const date = options.find((option) => option.startsWith("--mtime=@"));
  if (date !== undefined) expect(native.statat(-100, join(to, "plain")).mtimeNs / 1_000_000_000n).toBe(clamped(date));
});

/** Times end in 2262, where nanoseconds no longer fit into 64 bits. */
function clamped(option: string): bigint {
  const seconds = BigInt(option.slice("--mtime=@".length));
  return seconds > 9_223_372_036n ? 9_223_372_036n : seconds;
}

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer, void> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

test.each([
  { key: "LIBARCHIVE.xattr.user.%E0%A4%A", name: "user.\udce0\udca4%A" },
  { key: "LIBARCHIVE.xattr.user.a%20b%", name: "user.a b%" },
  { key: "LIBARCHIVE.xattr.user.%C3%B6", name: "user.ö" },
])("reads an attribute called $key", ({ key, name }) => {
  const rest = ` ${key}=dmFsdWU=\n`;
  const record = `${rest.length + 2}${rest}`;
  const reader = new TarReader();
  const header = (path: string, type: string, size: number): Buffer => {
    const block = Buffer.alloc(512);
    block.write(path, 0);
    block.write(`0000644\0`, 100);
    block.write(`${size.toString(8).padStart(11, "0")}\0`, 124);
    block.write("        ", 148);
    block.write(type, 156);
    block.write("ustar\x0000", 257);
    block.write(
      `${block
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, "0")}\0 `,
      148,
    );
    return block;
  };
  const blocks = [header("x", "x", record.length), Buffer.from(record.padEnd(512, "\0")), header("f", "0", 0)];
  const [entry] = [...reader.push(Buffer.concat(blocks))].flatMap((event) =>
    event.kind === "entry" ? [event.entry] : [],
  );
  expect([...(entry?.xattrs ?? [])]).toEqual([[name, Buffer.from("value")]]);
});

/** A member as an archiver would write it, by bytes: what the checked encoder of this room would not. */
function raw(path: string, { type = "0", content = "", link = "", mode = "0000644" } = {}): Buffer {
  const block = Buffer.alloc(512);
  block.write(path, 0);
  block.write(`${mode}\0`, 100);
  block.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124);
  block.write("        ", 148);
  block.write(type, 156);
  block.write(link, 157);
  block.write("ustar\x0000", 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return Buffer.concat([block, Buffer.from(content), Buffer.alloc((512 - (content.length % 512)) % 512)]);
}

const zeros = (blocks: number): Buffer => Buffer.alloc(512 * blocks);
const ok = raw("ok", { content: "x\n" });

function membersOf(archive: Buffer, pieceBytes: number): string[] | string {
  const reader = new TarReader();
  const found: string[] = [];
  try {
    for (let at = 0; at < archive.length; at += pieceBytes) {
      for (const event of reader.push(archive.subarray(at, at + pieceBytes))) {
        if (event.kind === "entry") found.push(`${event.entry.type} ${event.entry.path} ${event.entry.size}`);
      }
    }
    reader.finish();
  } catch (error) {
    return error instanceof BuildError ? error.code : String(error);
  }
  return found;
}

test.each([
  { name: "no end", parts: [ok], is: ["file ok 2"] },
  { name: "one block of zeros at the end", parts: [ok, zeros(1)], is: ["file ok 2"] },
  { name: "one block of zeros inside", parts: [ok, zeros(1), ok, zeros(2)], is: "archive/malformed" },
  { name: "another archive behind the end", parts: [ok, zeros(2), ok], is: ["file ok 2"] },
  { name: "garbage behind the end", parts: [ok, zeros(2), Buffer.from("garbage")], is: ["file ok 2"] },
  { name: "no padding at the end", parts: [ok.subarray(0, 514)], is: ["file ok 2"] },
  { name: "a part of the padding", parts: [ok.subarray(0, 700)], is: ["file ok 2"] },
  { name: "a part of the content", parts: [ok.subarray(0, 513)], is: "archive/malformed" },
  { name: "a volume's label", parts: [raw("label", { type: "V" }), ok], is: ["file ok 2"] },
  { name: "a list of renamed files", parts: [raw("n", { type: "N", content: "Rename a b" }), ok], is: ["file ok 2"] },
  { name: "an access control list", parts: [raw("a", { type: "A", content: "user::rw-" }), ok], is: ["file ok 2"] },
  {
    name: "a dumped directory",
    parts: [raw("d/", { type: "D", content: "Yok\0\0" }), ok],
    is: ["directory d 0", "file ok 2"],
  },
  {
    name: "the rest of another volume's file",
    parts: [raw("m", { type: "M", content: "x" }), ok],
    is: "archive/unsupported",
  },
  { name: "an unknown kind", parts: [raw("z", { type: "Z", content: "x" }), ok], is: "archive/unsupported" },
  { name: "Solaris' extended header", parts: [raw("p", { type: "X", content: "9 path=q\n" }), ok], is: ["file q 2"] },
  { name: "defaults for all members", parts: [raw("p", { type: "g", content: "9 path=q\n" }), ok], is: ["file ok 2"] },
  { name: "a directory written as a file", parts: [raw("d/"), ok], is: ["directory d 0", "file ok 2"] },
  {
    name: "a file name with a slash at the end",
    parts: [raw("f/", { content: "x" }), ok],
    is: ["file f 1", "file ok 2"],
  },
])("an archive with $name", ({ parts, is }) => {
  const archive = Buffer.concat(parts);
  for (const pieceBytes of [1, 512, archive.length]) expect(membersOf(archive, pieceBytes)).toEqual(is);
});

test("a hard link's own header counts for the file, as the last one of it", async () => {
  const to = mkdtempSync(join(directory, "to-"));
  const [file, link] = [
    raw("a", { content: "x", mode: "0000600" }),
    raw("b", { type: "1", link: "a", mode: "0000751" }),
  ];
  const owner = { kind: "fixed", uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 } as const;
  const bytes = Buffer.concat([file, link, raw("s", { type: "2", link: "a" }), raw("t", { type: "1", link: "s" })]);
  await unpackArchive(inPieces(bytes, 700), { native, directory: to, owner }, new AbortController().signal);
  expect(native.statat(-100, join(to, "a")).mode & 0o7777).toBe(0o751);
  expect(native.statat(-100, join(to, "a")).ino).toBe(native.statat(-100, join(to, "b")).ino);
  expect(native.readlinkat(-100, join(to, "t"))).toBe("a");
});
