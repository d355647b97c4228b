import { encodeName } from "../native/names.ts";
import { BLOCK, type EntryType, floorSeconds, paddingOf, type TarEntry } from "./entry.ts";

/** A test's member; the rest is a plain file of the test's own user. */
export type Member = Partial<Omit<TarEntry, "xattrs">> & {
  readonly path: string;
  readonly content?: string;
  readonly xattrs?: Record<string, Buffer>;
};

/** Makes a tar without any checks, also a hostile one. */
export async function* tarOf(members: readonly Member[]): AsyncGenerator<Buffer, void> {
  for (const { content = "", xattrs = {}, ...member } of members) {
    const entry: TarEntry = {
      type: "file",
      mode: 0o644,
      uid: process.getuid?.() ?? 0,
      gid: process.getgid?.() ?? 0,
      mtimeNs: 0n,
      linkName: "",
      deviceMajor: 0,
      deviceMinor: 0,
      ...member,
      size: Buffer.byteLength(content),
      xattrs: new Map(Object.entries(xattrs)),
    };
    yield headerOf(entry);
    yield Buffer.from(content);
    yield Buffer.alloc(paddingOf(entry.size));
  }
  yield Buffer.alloc(2 * BLOCK);
}

const TYPE_FLAGS: Readonly<Record<EntryType, string>> = {
  file: "0",
  link: "1",
  symlink: "2",
  char: "3",
  block: "4",
  directory: "5",
  fifo: "6",
};

/** Makes header blocks of any entry: one block, and an extended header for everything that does not fit. */
export function headerOf(entry: TarEntry): Buffer {
  const path = encodeName(entry.type === "directory" ? `${entry.path}/` : entry.path);
  const link = encodeName(entry.linkName);
  const records = [...entry.xattrs].map(([key, value]): [string, Buffer] => [`SCHILY.xattr.${key}`, value]);
  const seconds = floorSeconds(entry.mtimeNs);
  const isOdd = entry.mtimeNs % 1_000_000_000n !== 0n || seconds < 0 || seconds > 0o77777777777;
  if (isOdd) records.push(["mtime", Buffer.from(decimal(entry.mtimeNs))]);
  if (!isPlain(path)) records.push(["path", path]);
  if (!isPlain(link)) records.push(["linkpath", link]);
  for (const key of ["uid", "gid"] as const) {
    if (entry[key] > 0o7777777) records.push([key, Buffer.from(String(entry[key]))]);
  }
  const numbers = [entry.mode, entry.uid & 0o7777777, entry.gid & 0o7777777] as const;
  const time = isOdd ? 0 : seconds;
  const block = blockOf(TYPE_FLAGS[entry.type], path, link, numbers, [entry.size, time]);
  block.write(octal(entry.deviceMajor, 8), 329, "latin1");
  block.write(octal(entry.deviceMinor, 8), 337, "latin1");
  if (records.length === 0) return summed(block);
  const data = Buffer.concat(records.map(([key, value]) => recordOf(key, value)));
  const extended = blockOf("x", Buffer.from("PaxHeaders/0"), Buffer.alloc(0), [0, 0, 0], [data.length, 0]);
  return Buffer.concat([summed(extended), data, Buffer.alloc(paddingOf(data.length)), summed(block)]);
}

function isPlain(name: Buffer): boolean {
  return name.length <= 100 && name.every((byte) => byte < 0x80);
}

function decimal(ns: bigint): string {
  const magnitude = ns < 0n ? -ns : ns;
  const fraction = String(magnitude % 1_000_000_000n).padStart(9, "0");
  return `${ns < 0n ? "-" : ""}${magnitude / 1_000_000_000n}.${fraction}`;
}

function recordOf(key: string, value: Buffer): Buffer {
  const rest = encodeName(` ${key}=`).length + value.length + 1;
  const length = [1, 2, 3, 4, 5, 6, 7, 8]
    .map((digits) => digits + rest)
    .find((sum) => String(sum).length + rest === sum);
  return Buffer.concat([encodeName(`${length} ${key}=`), value, Buffer.from("\n")]);
}

function octal(value: number, width: number): string {
  return `${value.toString(8).padStart(width - 1, "0")}\0`;
}

function blockOf(
  flag: string,
  path: Buffer,
  link: Buffer,
  numbers: readonly [mode: number, uid: number, gid: number],
  [size, seconds]: readonly [size: number, seconds: number],
): Buffer {
  const block = Buffer.alloc(BLOCK);
  path.copy(block, 0, 0, 100);
  link.copy(block, 157, 0, 100);
  block.write(numbers.map((number) => octal(number, 8)).join(""), 100, "latin1");
  block.write(`${octal(size, 12)}${octal(seconds, 12)}        ${flag}`, 124, "latin1");
  block.write("ustar\x0000", 257, "latin1");
  return block;
}

function summed(block: Buffer): Buffer {
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

export const dir = (path: string, more: Partial<Member> = {}): Member => ({
  path,
  type: "directory",
  mode: 0o755,
  ...more,
});
export const link = (path: string, linkName: string): Member => ({ path, type: "link", linkName });
export const symlink = (path: string, linkName: string): Member => ({ path, type: "symlink", mode: 0o777, linkName });
