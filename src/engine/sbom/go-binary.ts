import { type Elf, readElf } from "./elf.ts";
import type { ByteSource } from "./image-reader.ts";
import type { PackageList } from "./package-list.ts";

const MAGIC = Buffer.from("\xff Go buildinf:", "latin1");
const ALIGNMENT = 16;
const HEADER_BYTES = 32;
/** Limit of the search: the linker puts the information near the beginning of its part. */
const MAX_SEARCH_BYTES = 1 << 20;
const MAX_TEXT_BYTES = 8 << 20;
/** Marks around the list of modules. */
const MARK_BYTES = 16;

/** Module information that Go's linker writes into a program. */
interface GoBuildInfo {
  /** `go1.22.1` */
  readonly goVersion: string;
  readonly modules: readonly { readonly path: string; readonly version: string }[];
}

/** Adds Go's standard library and the modules of a program that Go has linked; nothing for other files. */
export function addGoPackages(file: ByteSource, place: string, list: PackageList): void {
  const info = readGoBuildInfo(file);
  if (info === undefined) return;
  const [, version] = /^go(\d\S*)/.exec(info.goVersion) ?? [];
  if (version !== undefined)
    list.add({ url: { type: "golang", name: "stdlib", version }, license: "BSD-3-Clause", place });
  for (const module of info.modules) {
    const slash = module.path.lastIndexOf("/");
    list.add({
      url: {
        type: "golang",
        namespace: module.path.slice(0, Math.max(0, slash)),
        name: module.path.slice(slash + 1),
        // A program built from a working tree has no version of its own.
        version: module.version === "(devel)" ? undefined : module.version,
      },
      place,
    });
  }
}

/**
 * Reads the build information of a Go program.
 * @see https://pkg.go.dev/debug/buildinfo
 */
function readGoBuildInfo(file: ByteSource): GoBuildInfo | undefined {
  const elf = readElf(file);
  if (elf === undefined) return undefined;
  const part =
    elf.sections.find(({ name }) => name === ".go.buildinfo") ??
    (elf.sections.length === 0 ? elf.segments.find(({ isWritable }) => isWritable) : undefined);
  if (part === undefined) return undefined;
  const data = file.read(part.offset, Math.min(part.sizeBytes, MAX_SEARCH_BYTES));
  for (let at = data.indexOf(MAGIC); at >= 0; at = data.indexOf(MAGIC, at + 1)) {
    if (at % ALIGNMENT !== 0 || at + HEADER_BYTES > data.length) continue;
    const isInline = ((data[at + 15] ?? 0) & 2) !== 0;
    const texts = isInline
      ? inlineTexts(file, part.offset + at + HEADER_BYTES)
      : pointedTexts(file, elf, data.subarray(at));
    const [goVersion = "", modules = ""] = texts;
    return goVersion === "" ? undefined : { goVersion, modules: modulesOf(modules) };
  }
  return undefined;
}

/** Reads the two texts as Go writes them since 1.18: each with its length, seven bits a byte, in front. */
function inlineTexts(file: ByteSource, offset: number): readonly string[] {
  const texts: string[] = [];
  let at = offset;
  while (texts.length < 2) {
    const head = file.read(at, 5);
    let length = 0;
    let used = 0;
    for (const byte of head) {
      length += (byte & 0x7f) * 2 ** (7 * used);
      used += 1;
      if (byte < 0x80) break;
    }
    if (used === 0 || length > MAX_TEXT_BYTES) return texts;
    texts.push(file.read(at + used, length).toString("utf8"));
    at += used + length;
  }
  return texts;
}

/** Reads the two texts as older Go has them: addresses of an address and a length. */
function pointedTexts(file: ByteSource, elf: Elf, header: Buffer): readonly string[] {
  const size = header[14];
  if (size !== 4 && size !== 8) return [];
  const isLittle = ((header[15] ?? 0) & 1) === 0;
  const word = (bytes: Buffer, at: number): bigint => {
    if (bytes.length < at + size) return 0n;
    if (size === 4) return BigInt(isLittle ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at));
    return isLittle ? bytes.readBigUInt64LE(at) : bytes.readBigUInt64BE(at);
  };
  const readAt = (address: bigint, length: number): Buffer => {
    const part = elf.segments.find((one) => address >= one.address && address < one.address + BigInt(one.sizeBytes));
    return part === undefined ? Buffer.alloc(0) : file.read(part.offset + Number(address - part.address), length);
  };
  return [0, 1].map((index) => {
    const text = readAt(word(header, 16 + index * size), 2 * size);
    const length = word(text, size);
    return length > BigInt(MAX_TEXT_BYTES) ? "" : readAt(word(text, 0), Number(length)).toString("utf8");
  });
}

/** Reads the lines `mod`, `dep`, and `=>`, which replaces the one before. */
function modulesOf(marked: string): GoBuildInfo["modules"] {
  // The marks are bytes that are no text, so they are looked for by their place.
  const text = marked.slice(Math.min(...["path\t", "mod\t", "dep\t", "build\t"].map((word) => placeOf(marked, word))));
  const modules: { path: string; version: string }[] = [];
  for (const line of text.split("\n")) {
    const [kind, path = "", version = ""] = line.split("\t");
    if (path === "") continue;
    // A replacement by a folder has no name for others; the module keeps its own.
    if (kind === "=>" && /^[./]/.test(path)) continue;
    if (kind === "=>") modules.pop();
    if (kind === "mod" || kind === "dep" || kind === "=>") modules.push({ path, version });
  }
  return modules;
}

function placeOf(text: string, word: string): number {
  const at = text.slice(0, 4 * MARK_BYTES).indexOf(word);
  return at < 0 ? text.length : at;
}
