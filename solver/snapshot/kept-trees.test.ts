import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { O_DIRECTORY, O_PATH } from "../../lib/native/constants.ts";
import { locateNative } from "../../lib/native/locate.ts";
import type { SnapshotId } from "../../lib/store/model.ts";
import { listing, SKIP_UNLESS_ROOT } from "../ops/file/testing.ts";
import { copyingSnapshotter } from "./copying.ts";

const native = locateNative();
const { signal } = new AbortController();

/** A base of two layers, with links, pipes, attributes and times. */
const BASE = [
  "mkdir -p d/e/f gone/x old && echo a > d/a && echo b > d/e/b && ln -s a d/l && echo g > gone/x/g && chmod 700 d/e && chown 3:4 d/e && chown -h 5:6 d/l",
  "mkdir -p links d && echo one > links/a && ln links/a links/b && ln links/a d/c && mkfifo d/p && echo d2 > d/second && chmod 4755 d/second",
];

/** Changes of an earlier build's commands, each in a step of its own. */
const EARLIER: readonly { readonly name: string; readonly does: readonly string[] }[] = [
  { name: "nothing", does: ["true"] },
  { name: "new files", does: ["echo 1 > one", "mkdir -p d/new/er && echo 2 > d/new/er/two"] },
  {
    name: "changed files and metadata",
    does: ["echo more >> d/a", "chmod 600 d/second && chown 7:8 d", "touch -d @5 old"],
  },
  { name: "removed files", does: ["rm d/a d/l d/p", "rm -r d"] },
  { name: "a directory made again", does: ["rm -r d", "mkdir d", "echo x > d/a"] },
  { name: "a directory replaced in one step", does: ["rm -r d/e && mkdir d/e && echo x > d/e/x", "echo y > d/e/y"] },
  { name: "a link in place of a directory", does: ["rm -r gone && ln -s ../old gone", "echo x > old/x"] },
  { name: "a file in place of a directory", does: ["rm -r gone && echo f > gone", "rm gone && mkdir -p gone/x"] },
  { name: "moved directories", does: ["mv d/e old/e && mv links d/links", "mv old new"] },
  { name: "one of several names removed", does: ["rm links/a"] },
  { name: "one of several names changed", does: ["echo more >> links/b"] },
  { name: "one of several names replaced", does: ["rm d/c && echo c > d/c", "ln d/c d/c2"] },
  { name: "a further name", does: ["ln links/a old/z && ln d/a d/a2", "rm links/b d/a"] },
  { name: "attributes and lists", does: ["setfacl -m u:7:r d/a && setfacl -d -m u:8:rx d || true", "touch d/n"] },
];

test.skipIf(SKIP_UNLESS_ROOT !== false).each(EARLIER)(
  "a later process goes on in the tree of an earlier one: $name",
  async ({ does }) => {
    using store = new Store();
    const base = await store.make(BASE);
    await store.run(base, does);
    const { trees, copies } = await store.run(base, ["true"]);
    expect(copies).toBe(0);
    expect(trees).toEqual((await store.run(base, ["true"], "another start of the machine")).trees);
  },
);

test.skipIf(SKIP_UNLESS_ROOT !== false)("a later process goes on behind the layers that it shares", async () => {
  using store = new Store();
  const base = await store.make(BASE);
  const { stack } = await store.run(base, ["echo 1 > one", "rm -r d", "mkdir d"]);
  for (const shared of [stack, stack.slice(0, -1), stack.slice(0, -2)]) {
    const { trees, copies } = await store.run(shared, ["echo x > x"]);
    expect(copies).toBe(0);
    expect(trees).toEqual((await store.run(shared, ["true"], "another start of the machine")).trees);
  }
});

test.skipIf(SKIP_UNLESS_ROOT !== false).each([
  {
    name: "something has changed in it",
    spoil: (tree: string) => sh(`${tree}/root`, "chmod 711 old && chmod 755 old"),
  },
  { name: "its description is damaged", spoil: (tree: string) => sh(tree, "echo '{}' > kept") },
  {
    name: "a layer that is in it is gone",
    spoil: (tree: string) => sh(`${tree}/..`, 'rm -r "$(ls -t | grep -v tree | head -1)"'),
  },
])("a tree of an earlier process is not used when $name", async ({ spoil }) => {
  using store = new Store();
  const base = await store.make(BASE);
  await store.run(base, ["echo 1 > one"]);
  const [kept = ""] = store.kept();
  spoil(join(store.directory, kept));
  expect(await store.run(base, ["true"])).toMatchObject({ copies: 1 });
});

test.skipIf(SKIP_UNLESS_ROOT !== false)("no more than two trees wait in a store", async () => {
  using store = new Store();
  for (const text of ["1", "2", "3"]) await store.run(await store.make([`echo ${text} > f`]), ["true"]);
  expect(store.kept()).toHaveLength(2);
});

/** Layers that several processes use one after the other. */
class Store implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), "kiln-kept-"));
  #count = 0;

  /** Makes layers without a command. Everything in them is old. */
  async make(scripts: readonly string[]): Promise<SnapshotId[]> {
    await using snapshots = this.#open("", () => {});
    const stack: SnapshotId[] = [];
    for (const script of scripts) {
      // oxlint-disable-next-line no-await-in-loop
      await using active = await snapshots.prepare(stack, signal);
      sh(active.writable, `${script} && find . -exec touch -h -d @1000000000 {} +`);
      // oxlint-disable-next-line no-await-in-loop
      stack.push(await active.commit(signal));
    }
    return stack;
  }

  /** Runs commands as one process, and describes the tree in which each began. */
  async run(
    base: readonly SnapshotId[],
    scripts: readonly string[],
    bootId = "this start",
  ): Promise<{
    readonly trees: readonly (readonly string[])[];
    readonly stack: readonly SnapshotId[];
    readonly copies: number;
  }> {
    let copies = 0;
    await using snapshots = this.#open(bootId, () => (copies += 1));
    const [stack, trees] = [[...base], []] as [SnapshotId[], string[][]];
    for (const script of scripts) {
      // oxlint-disable-next-line no-await-in-loop
      await using active = await snapshots.prepare(stack, signal);
      // oxlint-disable-next-line no-await-in-loop
      await active.mount(signal);
      trees.push(described(active.writable));
      sh(active.writable, script);
      // oxlint-disable-next-line no-await-in-loop
      stack.push(await active.commit(signal));
    }
    return { trees, stack, copies };
  }

  kept(): readonly string[] {
    return readdirSync(this.directory).filter((name) => name.startsWith("tree-"));
  }

  #open(bootId: string, onCopied: () => void): ReturnType<typeof copyingSnapshotter> {
    const newId = (): string => `n${(this.#count += 1)}`;
    const options = { directory: this.directory, marks: "trusted", newId, native, onCopied } as const;
    return copyingSnapshotter({ ...options, bootId: () => (bootId === "" ? undefined : bootId) });
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function sh(cwd: string, script: string): void {
  const { status, stderr } = spawnSync("sh", ["-ec", `umask 022; ${script}`], { cwd, encoding: "utf8" });
  if (status !== 0) throw new Error(`${script}: ${stderr}`);
}

/** Everything that a command could tell of a tree, but for inode numbers and change times. */
function described(root: string): string[] {
  const fd = native.openPath(root, O_PATH | O_DIRECTORY);
  const scan = native.scanTreeSync(fd, { xattrs: true });
  const attributes = Array.from({ length: scan.count }, (_, row) => {
    const path = row === 0 ? "." : scan.path(row);
    const keys = native.listXattrs(fd, path).map((key) => `${key}=${native.getXattr(fd, path, key)?.toString("hex")}`);
    // An overlay's root has the time of its new upper directory.
    const mtimeNs = row === 0 ? 0n : scan.columns.mtimeNs[row];
    return `${path} ${mtimeNs} ${scan.columns.nlink[row]} ${keys.toSorted().join(" ")}`;
  });
  native.close(fd);
  return [...listing(native, root), ...attributes];
}
