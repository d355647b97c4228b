import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FileBench, SKIP_UNLESS_ROOT } from "../../solver/ops/file/testing.ts";
import { MergedTree } from "./merged-tree.ts";
import { scanDirectory, type TreeNode } from "./tree-node.ts";

const signal = new AbortController().signal;

/** Lists what the kernel shows when it mounts the same directories: one `path type` per line. */
function mounted(root: string, layers: readonly string[]): string[] | undefined {
  const at = join(root, "mnt");
  mkdirSync(at, { recursive: true });
  const lower = layers.join(":");
  const script = `mount -t overlay overlay -o lowerdir=${lower} ${at} && cd ${at} && find . -mindepth 1 -printf '%P %y\\n'`;
  const done = spawnSync("unshare", ["-m", "sh", "-c", script], { encoding: "utf8" });
  if (done.status !== 0) return undefined;
  // In a directory of a single layer, the kernel lists whiteouts that hide nothing, but finds no file there.
  return done.stdout
    .split("\n")
    .filter((line) => line !== "" && !line.endsWith(" c"))
    .toSorted();
}

const TYPES: Readonly<Record<number, string>> = { 0o040000: "d", 0o100000: "f", 0o120000: "l", 0o020000: "c" };

function walked(node: TreeNode, prefix = ""): string[] {
  return node.children.flatMap((child) => [
    `${prefix}${child.name} ${TYPES[child.type] ?? "?"}`,
    ...walked(child, `${prefix}${child.name}/`),
  ]);
}

describe.skipIf(SKIP_UNLESS_ROOT !== false)("a merged tree", () => {
  test("shows what the kernel's overlay shows, by scan and by lookup", async () => {
    const name = fc.constantFrom("a", "b", "c");
    const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join("/"));
    const line = fc.tuple(fc.constantFrom("d", "f", "w", "o", "l"), path).map(([type, at]) => `${type} ${at}`);
    const layer = fc.uniqueArray(line, { maxLength: 6, selector: (text) => text.slice(2) });
    let compared = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(layer, { minLength: 2, maxLength: 4 }), async (layers) => {
        using bench = new FileBench();
        for (const lines of layers) bench.layer(compatible(lines));
        const topmost = bench.layers.toReversed();
        const kernel = mounted(bench.root, topmost);
        if (kernel === undefined) return;
        compared += 1;
        using tree = new MergedTree({ native: bench.native, directories: topmost, marks: "trusted" });
        const root = await scanDirectory(tree, tree.root, { nowNs: () => 0n, prune: {}, depth: "all" }, signal);
        expect(walked(root).toSorted()).toEqual(kernel);
        for (const at of ["a", "b", "c", "a/a", "a/b", "b/c", "a/b/c"]) {
          const isThere = kernel.some((entry) => entry.slice(0, -2) === at);
          const isLink = kernel.some((entry) => entry.endsWith(" l") && `${at}/`.startsWith(`${entry.slice(0, -2)}/`));
          const isBelowFile = kernel.some((entry) => entry.endsWith(" f") && at.startsWith(`${entry.slice(0, -2)}/`));
          if (!isLink && !isBelowFile) expect(tree.resolve(at, "keep").missing.length === 0).toBe(isThere);
        }
      }),
      { numRuns: 40 },
    );
    if (compared === 0) process.stderr.write("not compared with the kernel: overlayfs cannot be mounted here\n");
  });

  test.each([
    { name: "an absolute symlink", lines: ["f t/file =x", "l s /t/file"], path: "s", text: "x" },
    { name: "a symlink above the root", lines: ["f t/file =x", "l d/s ../../../t/file"], path: "d/s", text: "x" },
    { name: "dots in the path", lines: ["f t/file =x"], path: "/./t/../t/./file", text: "x" },
    { name: "a directory", lines: ["d t"], path: "t", text: undefined },
    { name: "a device", lines: ["c t 1:5"], path: "t", text: undefined },
    { name: "a fifo, without waiting for a writer", lines: ["p t"], path: "t", text: undefined },
    { name: "a loop", lines: ["l a b", "l b a"], path: "a", text: undefined },
    { name: "a link to itself through a directory", lines: ["l d/x ../d/x"], path: "d/x", text: undefined },
  ])("reads a file through $name", ({ lines, path, text }) => {
    using bench = new FileBench();
    bench.layer(lines);
    using tree = new MergedTree({ native: bench.native, directories: bench.layers, marks: "trusted" });
    expect(tree.readFile(path, 100)?.toString()).toBe(text);
  });

  test("refuses to read more than it is allowed to", () => {
    using bench = new FileBench();
    bench.layer(["f big =12345"]);
    using tree = new MergedTree({ native: bench.native, directories: bench.layers, marks: "trusted" });
    expect(() => tree.readFile("big", 4)).toThrow(/larger than 4 bytes/);
  });

  test("follows 255 symlinks and no more", () => {
    using bench = new FileBench();
    bench.layer(["f l0 =end", ...Array.from({ length: 256 }, (_, at) => `l l${at + 1} l${at}`)]);
    using tree = new MergedTree({ native: bench.native, directories: bench.layers, marks: "trusted" });
    expect(tree.readFile("l255", 10)?.toString()).toBe("end");
    expect(() => tree.resolve("l256", "follow")).toThrow(/too many symlinks/);
  });

  test("keeps working with more directories than it holds open", () => {
    using bench = new FileBench();
    const paths = Array.from({ length: 700 }, (_, at) => `d${at}/x`);
    bench.layer(paths.map((path) => `f ${path} =1`));
    using tree = new MergedTree({ native: bench.native, directories: bench.layers, marks: "trusted" });
    for (const path of [...paths, ...paths]) expect(tree.readFile(path, 1)?.toString()).toBe("1");
  });
});

/** Drops lines that conflict with others: a file where a directory is needed, names below a whiteout. */
function compatible(lines: readonly string[]): string[] {
  const paths = lines.map((line) => line.slice(2));
  return lines
    .filter((line) => {
      const [type = "", path = ""] = line.split(" ");
      if (type === "d" || type === "o") return true;
      return !paths.some((other) => other.startsWith(`${path}/`));
    })
    .map((line) => (line.startsWith("l ") ? `${line} elsewhere` : line));
}
