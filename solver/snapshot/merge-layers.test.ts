import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { S_IFCHR } from "../../lib/native/constants.ts";
import { locateNative } from "../../lib/native/locate.ts";
import { MergedTree } from "../../lib/tree/merged-tree.ts";
import { scanDirectory, type TreeNode } from "../../lib/tree/tree-node.ts";
import { mergeLayers } from "./merge-layers.ts";

const native = locateNative();
const { signal } = new AbortController();
const isRoot = process.getuid?.() === 0;
if (!isRoot) console.warn("not root: tests of merged layers are skipped");

let root = "";
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "kiln-merge-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** `path: text` is a file, `path/` a directory, `-path` a whiteout, `=path` an opaque directory. */
function layer(name: string, ...entries: readonly string[]): string {
  const at = join(root, name);
  mkdirSync(at);
  for (const entry of entries) {
    const [path = "", text] = entry.replace(/^[-=]/, "").split(": ");
    mkdirSync(join(at, path, ".."), { recursive: true });
    if (entry.startsWith("-")) native.mknodat(-100, join(at, path), S_IFCHR);
    else if (entry.startsWith("=")) {
      mkdirSync(join(at, path), { recursive: true });
      native.setXattr(-100, join(at, path), "trusted.overlay.opaque", Buffer.from("y"));
    } else if (path.endsWith("/")) mkdirSync(join(at, path), { recursive: true });
    else writeFileSync(join(at, path), text ?? "");
  }
  return at;
}

/** Lists the visible content of layers, topmost first: paths with modes, and texts of files. */
async function shown(layers: readonly string[]): Promise<readonly string[]> {
  using tree = new MergedTree({ native, directories: layers, marks: "trusted" });
  const lines: string[] = [];
  const visit = (node: TreeNode, prefix: string): void => {
    for (const child of node.children) {
      const path = prefix + child.name;
      const text = child.isDirectory ? "/" : `: ${tree.readFile(path, 1000)?.toString()}`;
      lines.push(`${path}${text} ${child.mode.toString(8)} ${child.mtimeNs}`);
      if (child.isDirectory) visit(child, `${path}/`);
    }
  };
  visit(await scanDirectory(tree, tree.root, { nowNs: () => 0n, prune: {}, depth: "all" }, signal), "");
  return lines;
}

test.skipIf(!isRoot).each<{ name: string; layers: readonly (readonly string[])[] }>([
  { name: "files of all", layers: [["a: 1"], ["b: 2"], ["c/d: 3"]] },
  {
    name: "the uppermost file of a name",
    layers: [
      ["a: new", "d/x: new"],
      ["a: old", "d/x: old", "d/y: old"],
    ],
  },
  {
    name: "no file that was removed above",
    layers: [
      ["-a", "d/keep: 1"],
      ["a: 1", "d/a: 1"],
    ],
  },
  { name: "a file that came back", layers: [["a: again"], ["-a"], ["a: 1"]] },
  {
    name: "only the upper part of an opaque directory",
    layers: [
      ["=d", "d/new: 1"],
      ["d/old: 1", "d/e/f: 1"],
    ],
  },
  { name: "what is above an opaque directory", layers: [["d/newest: 1"], ["=d", "d/new: 1"], ["d/old: 1"]] },
  { name: "a directory in the place of a file", layers: [["d/x: 1"], ["d: file"], ["d/below: 1"]] },
  { name: "a file in the place of a directory", layers: [["d: file"], ["d/x: 1"]] },
  { name: "a directory removed and made again", layers: [["=d/e", "d/e/new: 1"], ["-d"], ["d/e/old: 1", "d/o: 1"]] },
  { name: "an empty directory", layers: [["d/"], ["e/f/"]] },
])("layers made one show $name, alone and over others", async ({ layers }) => {
  const below = layer("below", "a: below", "d/old: below", "d/e/below: 1", "z: below");
  const given = layers.map((entries, index) => layer(`given${index}`, ...entries));
  const merged = join(root, "merged");
  mkdirSync(merged);
  mergeLayers(native, given, merged, "trusted");
  expect(await shown([merged])).toEqual(await shown(given));
  expect(await shown([merged, below])).toEqual(await shown([...given, below]));
});

test.skipIf(!isRoot)("files are linked and directories keep owner, mode, time and attributes", () => {
  const low = layer("low", "d/f: 1");
  const high = layer("high", "d/g: 1");
  native.fchownat(-100, join(high, "d"), 7, 8);
  native.fchmodat(-100, join(high, "d"), 0o2750);
  native.setXattr(-100, join(high, "d"), "user.note", Buffer.from("mine"));
  native.utimensat(-100, join(high, "d"), 5_000_000_001n);
  const merged = join(root, "merged");
  mkdirSync(merged);
  mergeLayers(native, [high, low], merged, "trusted");
  expect(statSync(join(merged, "d/f")).ino).toBe(statSync(join(low, "d/f")).ino);
  expect(readFileSync(join(merged, "d/g"), "utf8")).toBe("1");
  const { uid, gid, mode, mtimeNs } = native.statat(-100, join(merged, "d"));
  expect({ uid, gid, mode: mode & 0o7777, mtimeNs }).toEqual({ uid: 7, gid: 8, mode: 0o2750, mtimeNs: 5_000_000_001n });
  expect(native.getXattr(-100, join(merged, "d"), "user.note")).toEqual(Buffer.from("mine"));
});
