import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { S_IFDIR, S_IFLNK, S_IFMT } from "../../lib/native/constants.ts";
import { locateNative } from "../../lib/native/locate.ts";
import { listing, SKIP_UNLESS_ROOT } from "../ops/file/testing.ts";
import { copyingSnapshotter } from "./copying.ts";
import { dropUnchanged } from "./unchanged.ts";

const native = locateNative();
const { signal } = new AbortController();

/** Two layers; everything in them is older than a test. */
const LAYERS = [
  "mkdir -p d/e/f gone/x old && echo a > d/a && echo b > d/e/b && echo c > d/e/f/c && ln -s a d/l && echo g > gone/x/g && echo o > old/o && chmod 700 d/e && chown 3:4 d/e",
  "mkdir -p links d && echo one > links/a && ln links/a links/b && echo two > links/c && mkfifo d/p && echo d2 > d/second && mkdir -p m/n o && echo four > m/n/four && ln m/n/four o/four",
];

/** Changes of a command; each line is a command of its own in one build. */
const COMMANDS: readonly { readonly name: string; readonly does: readonly string[] }[] = [
  { name: "nothing", does: ["true"] },
  { name: "files made and taken away", does: ["touch d/e/x && rm d/e/x", "touch d/y", "rm d/y"] },
  {
    name: "a directory made anew",
    does: ["rm -r d/e && mkdir -p d/e/f && echo x > d/e/f/x", "rm -r d/e && mkdir d/e"],
  },
  { name: "a directory emptied", does: ["rm -r d/e/*", "echo again > d/e/b"] },
  {
    name: "a directory becomes a file, and one again",
    does: ["rm -r gone && echo f > gone", "rm gone && mkdir -p gone/x"],
  },
  { name: "a directory is removed and comes back", does: ["rm -r gone", "mkdir -p gone/x && echo n > gone/x/n"] },
  {
    name: "a link in place of a directory",
    does: ["rm -r d/e && ln -s ../old d/e", "rm d/e && mkdir d/e && touch d/e/z"],
  },
  {
    name: "a file replaced by an equal one",
    does: ["cp -p d/a d/n && mv d/n d/a", "cat d/a > n && cat n > d/a && rm n"],
  },
  {
    name: "metadata alone",
    does: ["chmod 644 d/a", "chmod 711 d && chown 5:6 d/l -h", "touch -d @5 old/o old && chown 0:0 d/e/b"],
  },
  {
    name: "files that are only opened for writing, or get what they have",
    does: [
      ": >> d/a && chmod 700 d/e && touch -d @1000000000 links/c",
      "chown -R 0:0 d/a links old && chown -h 0:0 d/l",
      "chown 3:4 d/e && : >> gone/x/g && echo new > gone/x/n",
      "cat d/a > n && cat n > d/a && touch -d @1000000000 d/a && rm n",
      "echo z > d/a && touch -d @1000000000 d/a",
      "mv d/e/b d/b && mv d/b d/e/b",
    ],
  },
  { name: "moved files and directories", does: ["mv d/a d/e/a", "mv d/e/f old/f && mv old new", "mv new/f/c d/a"] },
  {
    name: "moved directories in which a file with another name is",
    does: ["mv m m2", "mv m2/n n && echo x > n/x", "rm -r n && rm o/four"],
  },
  { name: "links to files", does: ["ln d/a d/a2", "ln d/a old/a3 && rm d/a", "ln old/a3 d/a4"] },
  { name: "one of two names goes", does: ["rm links/b", "echo x >> links/a"] },
  { name: "a third name", does: ["ln links/a links/z", "ln links/c old/c"] },
  { name: "all of two names", does: ["chown -R 7:8 links", "chmod 600 links/*"] },
  {
    name: "pipes, devices and attributes",
    does: ["mknod d/n c 1 3 && mkfifo d/q && chmod 600 d/p", "cp -a d/n d/m && rm d/n"],
  },
];

test.skipIf(SKIP_UNLESS_ROOT !== false).each(COMMANDS)(
  "a tree differs as an overlay would: $name",
  async ({ does }) => {
    const directory = mkdtempSync(join(tmpdir(), "kiln-difference-"));
    try {
      let count = 0;
      const newId = (): string => `n${(count += 1)}`;
      await using snapshots = copyingSnapshotter({ directory: join(directory, "s"), marks: "trusted", newId, native });
      const stack = [];
      for (const script of LAYERS) {
        await using active = await snapshots.prepare(stack, signal);
        run(active.writable, `${script} && find . -exec touch -h -d @1000000000 {} +`);
        stack.push(await active.commit(signal));
      }
      const lowers = stack.map((id) => snapshots.pathOf(id));
      for (const script of does) {
        const [upper, work, merged] = ["upper", "work", "merged"].map((name) => join(directory, `${name}-${newId()}`));
        for (const path of [upper, work, merged]) mkdirSync(path ?? "");
        const options = `lowerdir=${lowers.toReversed().join(":")},upperdir=${upper},workdir=${work},index=off,metacopy=off,redirect_dir=nofollow`;
        run(
          directory,
          `unshare -m sh -ec 'mount -t overlay o -o ${options} ${merged} && cd ${merged} && umask 022 && ${script.replaceAll("'", `'\\''`)}'`,
        );
        dropUnchanged(upper ?? "", { native, marks: "trusted", lowers: lowers.toReversed() });
        lowers.push(upper ?? "");

        await using active = await snapshots.prepare(stack, signal);
        const mount = await active.mount(signal);
        run(mount.kind === "directory" ? mount.path : "not a copy", script);
        const id = await active.commit(signal);
        stack.push(id);
        expect(described(snapshots.pathOf(id))).toEqual(described(upper ?? ""));
      }
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  },
);

function run(cwd: string, script: string): void {
  const { status, stderr } = spawnSync("sh", ["-ec", `umask 022; ${script}`], { cwd, encoding: "utf8" });
  if (status !== 0) throw new Error(`${script}: ${stderr}`);
}

/** Describes a layer with its times, except those of the present. */
function described(layer: string): readonly string[] {
  const fd = native.openPath(layer, 0x20_0000);
  const scan = native.scanTreeSync(fd);
  native.close(fd);
  const times = Array.from({ length: scan.count - 1 }, (_, index) => {
    const type = (scan.columns.mode[index + 1] ?? 0) & S_IFMT;
    const seconds = Number((scan.columns.mtimeNs[index + 1] ?? 0n) / 1_000_000_000n);
    const kind = type === S_IFDIR ? "d" : type === S_IFLNK ? "l" : "f";
    return `${kind} ${scan.path(index + 1)} ${seconds > 1_500_000_000 ? "now" : seconds}`;
  });
  const lines = listing(native, layer);
  // The kernel makes all whiteouts one file.
  const gone = new Set(lines.filter((line) => line.startsWith("w ")).map((line) => line.slice(2)));
  return [
    ...lines.map((line) =>
      line.replace(/^h (\S+) (\S+)$/, (all, path: string, first: string) => (gone.has(first) ? `w ${path}` : all)),
    ),
    ...times,
  ];
}

test("a file of a lower layer that is changed by one of its names is told", async () => {
  const directory = mkdtempSync(join(tmpdir(), "kiln-difference-"));
  try {
    let count = 0;
    const told: string[] = [];
    await using snapshots = copyingSnapshotter({
      directory: join(directory, "s"),
      marks: "trusted",
      newId: () => `n${(count += 1)}`,
      native,
      onAmbiguousLink: (path) => told.push(path),
    });
    await using first = await snapshots.prepare([], signal);
    run(first.writable, "echo a > a && ln a b && ln a c");
    const below = await first.commit(signal);
    await using second = await snapshots.prepare([below], signal);
    await second.mount(signal);
    run(second.writable, "echo more >> b && rm c");
    const id = await second.commit(signal);
    expect(told).toEqual(["a"]);
    // Each name has a file of its own from now on, as in an overlay.
    expect(listing(native, snapshots.pathOf(id))).toEqual(["f a 644 0:0 =a\nmore\n", "f b 644 0:0 =a\nmore\n", "w c"]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test("a layer shares no file with a directory outside of the tree, as that of a cache mount is", async () => {
  const directory = mkdtempSync(join(tmpdir(), "kiln-difference-"));
  try {
    let count = 0;
    const newId = (): string => `n${(count += 1)}`;
    await using snapshots = copyingSnapshotter({ directory: join(directory, "s"), marks: "trusted", newId, native });
    const cache = join(directory, "cache");
    mkdirSync(cache);
    await using first = await snapshots.prepare([], signal);
    run(first.writable, "echo below > below");
    const stack = [await first.commit(signal)];
    for (const script of [`echo a > ${cache}/a && ln ${cache}/a one && ln one two`, `ln below ${cache}/below`]) {
      await using active = await snapshots.prepare(stack, signal);
      await active.mount(signal);
      run(active.writable, script);
      stack.push(await active.commit(signal));
    }
    // A later step, in the same tree, and the cache have files of their own.
    await using last = await snapshots.prepare(stack, signal);
    await last.mount(signal);
    run(last.writable, `echo CHANGED | tee ${cache}/a ${cache}/below && echo mine > two`);
    expect(readFileSync(join(cache, "a"), "utf8")).toBe("CHANGED\n");
    stack.push(await last.commit(signal));
    expect(stack.map((id) => listing(native, snapshots.pathOf(id)))).toEqual([
      ["f below 644 0:0 =below\n"],
      ["f one 644 0:0 =a\n", "h two one"],
      ["f below 644 0:0 =below\n"],
      ["f one 644 0:0 =mine\n", "f two 644 0:0 =mine\n"],
    ]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
