import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { expect, test } from "vitest";
import type { Script } from "../../test/support/script.ts";
import { digestOf } from "../core/digest.ts";
import { fsck } from "./fsck.ts";
import { removeLeftovers } from "./leftovers.ts";
import type { OpenStore } from "./open-store.ts";
import { prune } from "./prune.ts";
import { useSharedStore } from "./testing.ts";

const signal = new AbortController().signal;
let root: string;
let store: OpenStore;
const { withStore } = useSharedStore((fresh) => ({ root, store } = fresh));

/** Starts a process that makes a layer and a folder of its own, both called `name`, and waits. */
async function making(name: string): Promise<Script> {
  const script = withStore(`
    const { mkdirSync } = process.getBuiltinModule("node:fs");
    store.holds.claim(["snapshot:active-${name}", "scratch:${name}"]);
    mkdirSync(store.layout.snapshots + "/active-${name}", { recursive: true });
    mkdirSync(store.root + "/scratch/${name}", { recursive: true });
    say("working");
    await hear();
  `);
  await script.line();
  return script;
}

async function killed(name: string): Promise<void> {
  const script = await making(name);
  script.kill();
  await script.ended();
}

const unfinished = (): string[][] => [readdirSync(store.layout.snapshots), readdirSync(join(root, "scratch"))];

test("what killed processes were making goes, what a running one is making stays", async () => {
  await killed("dead");
  await making("alive");
  await killed("dead-too");
  await removeLeftovers(store, signal);
  expect(unfinished()).toEqual([["active-alive"], ["alive"]]);
  expect(readdirSync(store.layout.running)).toHaveLength(3);
});

test("a directory that looks older than its process stays: clocks are set back", async () => {
  mkdirSync(join(store.layout.snapshots, "active-alive"));
  await killed("dead");
  await making("alive");
  await removeLeftovers(store, signal);
  expect(unfinished()).toEqual([["active-alive"], ["alive"]]);
  await prune(store, {}, signal);
  expect(unfinished()).toEqual([["active-alive"], ["alive"]]);
});

test("a socket that stands for an agent's is kept while a process runs that may have made it", async () => {
  await making("alive");
  await killed("dead");
  mkdirSync(join(root, "scratch", "ssh-1"));
  await removeLeftovers(store, signal);
  expect(unfinished()).toEqual([["active-alive"], ["alive", "ssh-1"]]);
});

/** Makes every running process look as if started in the future. */
function setClocksBack(): void {
  for (const name of readdirSync(store.layout.running).filter((file) => file !== "lock")) {
    const path = join(store.layout.running, name);
    writeFileSync(path, readFileSync(path, "utf8").replace(/^[\d.]+/, "9000000000000000"));
  }
}

test("blobs and logs that are being written stay when clocks are set back", async () => {
  const source = async function* (): AsyncGenerator<Buffer> {
    yield Buffer.from("one ");
    setClocksBack();
    await prune(store, {}, signal);
    yield Buffer.from("two");
  };
  using log = store.logs.create("step");
  log.write("said ");
  const { digest } = await store.blobs.write(source(), {}, signal);
  log.write("more");
  log.close();
  expect(readFileSync(store.blobs.pathOf(digest), "utf8")).toBe("one two");
  expect(readFileSync(log.path, "utf8")).toBe("said more");
  const expected = { digest: digestOf("whole"), size: 5 };
  const open = async (): Promise<Readable> => {
    writeFileSync(`${store.blobs.pathOf(expected.digest)}.partial`, "");
    setClocksBack();
    await prune(store, {}, signal);
    return Readable.from([Buffer.from("whole")]);
  };
  await store.blobs.download(expected, open, signal);
  expect(readFileSync(store.blobs.pathOf(expected.digest), "utf8")).toBe("whole");
});

test("a process that only reads leaves the leftovers to the next", async () => {
  await killed("dead");
  await fsck(store, { repair: false }, signal);
  await removeLeftovers(store, signal);
  expect(unfinished()).toEqual([[], []]);
  expect(readdirSync(store.layout.running)).toHaveLength(2);
});

test("a prune takes everything that killed processes were making", async () => {
  await killed("dead");
  await prune(store, {}, signal);
  expect(unfinished()).toEqual([[], []]);
  expect(readdirSync(store.layout.running)).toHaveLength(2);
});
