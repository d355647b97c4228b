import { existsSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { locateNative } from "../native/locate.ts";
import { removeLeftovers } from "./leftovers.ts";
import { openStore, type OpenStore } from "./open-store.ts";
import { prune } from "./prune.ts";
import { useSharedStore } from "./testing.ts";

const signal = new AbortController().signal;
let root: string;
let store: OpenStore;
const { withStore } = useSharedStore((fresh) => ({ root, store } = fresh));

const HOUR = 3600 * 1000;
const report = (id: string, more: object = {}): string => JSON.stringify({ id, ...more });
const ids = (from: Pick<OpenStore, "builds"> = store): unknown[] =>
  [...from.builds.list()].map((one) => (typeof one === "object" && one !== null && "id" in one ? one.id : one));

/** Runs `work` on the same store at another time. */
async function later(hours: number, work: (other: OpenStore) => void): Promise<void> {
  const nowMs = (): number => 1_700_000_000_000 + hours * HOUR;
  await using other = openStore(root, { native: locateNative(), clock: { nowMs } });
  work(other);
}

test("builds are listed in the order in which they ended, whatever the clock said", async () => {
  store.builds.add("first", report("first"));
  await later(-24, ({ builds }) => builds.add("second", report("second")));
  await later(24, ({ builds }) => builds.add("third", report("third")));
  await later(-48, ({ builds }) => builds.add("fourth", report("fourth")));
  expect(ids()).toEqual(["fourth", "third", "second", "first"]);
});

test("the newest fifty stay however old they are, further ones for two days", async () => {
  for (let at = 0; at < 60; at += 1) store.builds.add(`b${at}`, report(`b${at}`));
  expect(ids()).toHaveLength(60);
  await later(47, ({ builds }) => builds.add("soon", report("soon")));
  expect(ids()).toHaveLength(61);
  await later(49, ({ builds }) => builds.add("late", report("late")));
  expect(ids()).toHaveLength(50);
  expect(ids().slice(0, 3)).toEqual(["late", "soon", "b59"]);
});

test("a thousand stay at most", () => {
  store.database.run(
    `WITH RECURSIVE n(at) AS (SELECT 0 UNION ALL SELECT at + 1 FROM n WHERE at < 1003)
     INSERT INTO facts SELECT 'build', 'b' || at, CAST('{"id":"b' || at || '"}' AS BLOB), '[]', 1700000000000 FROM n`,
  );
  store.builds.add("b1004", report("b1004"));
  expect(ids()).toHaveLength(1000);
  expect(ids().at(-1)).toBe("b5");
});

test("builds are forgotten by id, and by age and number", async () => {
  for (const id of ["a", "b", "c", "d"]) store.builds.add(id, report(id));
  store.builds.remove(["b", "unknown"]);
  expect(ids()).toEqual(["d", "c", "a"]);
  expect(store.builds.forget({ keep: 1, beforeMs: 0 })).toEqual([]);
  await later(1, (other) => {
    expect(other.builds.forget({ keep: 1, beforeMs: other.nowMs() }).toSorted()).toEqual(["a", "c"]);
  });
  expect(ids()).toEqual(["d"]);
});

/** Starts a process that has begun a build. */
async function building(id: string): Promise<ReturnType<typeof withStore>> {
  const script = withStore(`store.builds.begin(JSON.stringify({ id: "${id}" })); say("begun"); await hear();`);
  await script.line();
  return script;
}

test("a build that runs and one that was killed are told apart", async () => {
  const dead = await building("dead");
  await building("alive");
  dead.kill();
  await dead.ended();
  const unfinished = store.builds.unfinished().map(({ id, state }) => `${id} ${state}`);
  expect(unfinished.toSorted()).toEqual(["alive running", "dead interrupted"]);
});

test("the report of a killed build outlives the file of its process", async () => {
  const dead = await building("dead");
  dead.kill();
  await dead.ended();
  await removeLeftovers(store, signal);
  expect(store.builds.unfinished()).toEqual([]);
  expect(ids()).toEqual(["dead"]);
});

test("a killed build can be forgotten; one that runs cannot", async () => {
  const dead = await building("dead");
  await building("alive");
  dead.kill();
  await dead.ended();
  store.builds.remove(["dead", "alive"]);
  expect(store.builds.unfinished().map(({ id }) => id)).toEqual(["alive"]);
  await removeLeftovers(store, signal);
  expect(ids()).toEqual([]);
});

test("damaged reports and notes are as if they were not there", () => {
  store.builds.add("good", report("good"));
  store.database.run("INSERT INTO facts VALUES ('build', 'torn', x'7b22', '[]', 0)");
  store.database.run("INSERT INTO facts VALUES ('build', 'text', 'no bytes', '[]', 0)");
  writeFileSync(join(store.layout.running, "0000"), 'begun {"id":\nbegun []\nbegun {"id":7}\n');
  expect(ids()).toEqual([undefined, "good"]);
  expect(store.builds.unfinished()).toEqual([]);
});

test("a prune leaves the logs that builds refer to, those of the newest builds first", async () => {
  const log = (name: string): string => join(store.layout.logs, name);
  for (const name of ["failed.log", "other.log"]) {
    writeFileSync(log(name), "output");
    utimesSync(log(name), 0, 0);
  }
  store.builds.add("a", report("a", { steps: [{ log: "failed.log" }, { name: "no log" }, 7] }));
  store.database.run("INSERT INTO facts VALUES ('build', 'torn', x'7b22', '[]', 0)");
  // Files are garbage when they are older than every running process.
  await store[Symbol.asyncDispose]();
  store = openStore(root, { native: locateNative(), clock: { nowMs: () => 1_700_000_000_000 } });
  await prune(store, { all: true }, signal);
  expect(readdirSync(store.layout.logs)).toEqual(["failed.log"]);
  store.builds.remove(["a"]);
  await prune(store, { all: true }, signal);
  expect(existsSync(log("failed.log"))).toBe(false);
});
