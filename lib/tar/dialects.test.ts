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
