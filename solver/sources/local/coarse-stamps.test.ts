import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { Workbench } from "../../testing/workbench.ts";
import { solve } from "../../solve.ts";
import { LocalSource } from "./local-source.ts";

const { signal } = new AbortController();

/** File systems with clocks that tick once in a second or two, and the command that makes one of 16 MiB. */
const KINDS = [
  { name: "ext4 with small inodes", type: "ext4", make: ["mke2fs", "-q", "-F", "-t", "ext4", "-I", "128"] },
  { name: "vfat", type: "vfat", make: ["mkfs.vfat"] },
] as const;

function run(command: string, ...args: readonly string[]): string | undefined {
  const { status, error, stderr } = spawnSync(command, args, { encoding: "utf8" });
  return status === 0 ? undefined : (error?.message ?? stderr.trim());
}

describe.each(KINDS)("$name", ({ type, make }) => {
  const directory = mkdtempSync(join(tmpdir(), "kiln-coarse-"));
  const mounted = join(directory, "mounted");
  const image = join(directory, "image");
  mkdirSync(mounted);
  writeFileSync(image, "");
  truncateSync(image, 16 << 20);
  const [program, ...args] = make;
  const skip = run(program, ...args, image) ?? run("mount", "-o", "loop", "-t", type, image, mounted);
  const cleanUp = (): void => rmSync(directory, { recursive: true, force: true });
  // Nothing runs after tests that are all skipped.
  if (skip !== undefined) cleanUp();
  afterAll(() => {
    if (skip === undefined) run("umount", mounted);
    cleanUp();
  });

  test.skipIf(skip !== undefined)(
    `edits within one tick of its clock are seen, whenever they come (${skip ?? "mounted"})`,
    async () => {
      await using bench = new Workbench();
      let index: Uint8Array | undefined;
      let prints: Uint8Array | undefined;
      const context = join(mounted, "context");
      mkdirSync(context);
      const file = join(context, "f");
      const write = (letter: string): void => writeFileSync(file, letter.repeat(300_000));
      let edit: (() => void) | undefined;
      let edits = 0;
      bench.commands.set("edit", (tree) => {
        // Another layer each time, so that the copy on it has to be made.
        tree.write("edits", String((edits += 1)));
        edit?.();
      });
      const build = async (nth: number): Promise<string> => {
        using source = new LocalSource({
          native: bench.native,
          directory: context,
          index: { load: () => index, save: (bytes) => void (index = bytes) },
          fingerprints: { load: () => prints, save: (bytes) => void (prints = bytes) },
          nowNs: () => BigInt(Date.now()) * 1_000_000n,
        });
        using deps = bench.deps({ locals: new Map([["context", source]]) });
        const below = bench.run(bench.image("one"), "edit", { env: [`N=${nth}`] });
        const result = await solve(bench.graph(bench.copy(below, ".", "/app/")), deps, bench.options(), signal);
        source.save();
        const layer = result.targets[0]?.layers.at(-1)?.snapshot ?? "";
        return readFileSync(join(bench.directory, "store/snapshots", layer, "app/f"), "utf8").slice(0, 1);
      };
      const letters = "abcdefgh".split("");
      for (const [nth, letter] of letters.entries()) {
        write(letter);
        expect(statSync(file).mtimeMs % 1000).toBe(0);
        expect(await build(nth)).toBe(letter);
        // And while it is built: what was copied is what is kept.
        edit = () => write(letter.toUpperCase());
        expect(await build(nth + 100)).toBe(letter.toUpperCase());
        edit = undefined;
        write(letter);
        expect(await build(nth + 100)).toBe(letter);
      }
    },
  );
});
