import { snapshotId } from "./snapshot-id.ts";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type Digest, digestOf } from "../core/digest.ts";
import { locateNative } from "../native/locate.ts";
import { openStore, type OpenStore } from "./open-store.ts";
import { useSharedStore } from "./testing.ts";

/*
 * The store with other real processes on it, living and dying. No test waits for a clock: a script reports its
 * progress in lines.
 */

const signal = new AbortController().signal;
let root: string;
let store: OpenStore;
const { withStore } = useSharedStore((fresh) => ({ root, store } = fresh));

describe("a lease", () => {
  test("held by another process is waited for until it is given back", async () => {
    const other = withStore(`const lease = await store.leases.acquire("work", signal); say("mine"); await hear();
      lease[Symbol.dispose](); say("given back"); await hear(); process.exit(0);`);
    await other.line();
    expect(store.leases.tryAcquire("work")).toBeUndefined();
    const waiting = store.leases.acquire("work", signal);
    other.send("go on");
    using lease = await waiting;
    expect(lease.waited).toBe(true);
    expect(await other.line()).toBe("given back");
  });

  test("dies with its process", async () => {
    const other = withStore(`await store.leases.acquire("work", signal); say("mine"); await hear();`);
    await other.line();
    const waiting = store.leases.acquire("work", signal);
    other.kill();
    using lease = await waiting;
    expect(lease.waited).toBe(true);
  });

  test("goes to one after the other however many want it", async () => {
    const worker = `import { appendFileSync } from "node:fs";
      for (let n = 0; n < 20; n += 1) {
        using lease = await store.leases.acquire("work", signal);
        appendFileSync(${JSON.stringify(root)} + "/trace", "in\\n");
        await new Promise(setImmediate);
        appendFileSync(${JSON.stringify(root)} + "/trace", "out\\n");
      }
      say("done"); process.exit(0);`;
    const workers = [withStore(worker), withStore(worker), withStore(worker), withStore(worker)];
    expect(await Promise.all(workers.map((one) => one.line()))).toEqual(["done", "done", "done", "done"]);
    expect(readFileSync(join(root, "trace"), "utf8")).toBe("in\nout\n".repeat(80));
    expect(readdirSync(store.layout.leases)).toEqual([]);
  });

  test("is not waited for any longer when the signal says so", async () => {
    using _held = await store.leases.acquire("work", signal);
    const abort = new AbortController();
    const waiting = store.leases.acquire("work", abort.signal);
    abort.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
  });

  test("within one process is given to the next in turn", async () => {
    const first = await store.leases.acquire("work", signal);
    const order: number[] = [];
    const others = [1, 2, 3].map(async (n) => {
      using lease = await store.leases.acquire("work", signal);
      order.push(n);
      expect(lease.waited).toBe(true);
    });
    first[Symbol.dispose]();
    await Promise.all(others);
    expect(new Set(order)).toEqual(new Set([1, 2, 3]));
  });
});

describe("a cache mount", () => {
  test("is seeded by one claimer and then shared by all", async () => {
    const first = await store.cacheMounts.claim("apt", "shared", signal);
    expect(first.isNew).toBe(true);
    const waiting = store.cacheMounts.claim("apt", "shared", signal);
    writeFileSync(join(first.directory, "seed"), "");
    first.seeded();
    using second = await waiting;
    expect(second.isNew).toBe(false);
    expect(second.directory).toBe(first.directory);
    first[Symbol.dispose]();
    expect(store.cacheMounts.list().map((entry) => entry.id)).toEqual(["apt"]);
  });

  test("is emptied and seeded again when its first claimer died while seeding", async () => {
    const other = withStore(`const claim = await store.cacheMounts.claim("apt", "shared", signal);
      (await import("node:fs")).writeFileSync(claim.directory + "/half", ""); say("half"); await hear();`);
    await other.line();
    const waiting = store.cacheMounts.claim("apt", "shared", signal);
    other.kill();
    using claim = await waiting;
    expect(claim.isNew).toBe(true);
    expect(readdirSync(claim.directory)).toEqual([]);
  });

  test("that is private gives everyone a directory of their own and takes free ones again", async () => {
    const first = await store.cacheMounts.claim("npm", "private", signal);
    first.seeded();
    using second = await store.cacheMounts.claim("npm", "private", signal);
    expect(second.directory).not.toBe(first.directory);
    first[Symbol.dispose]();
    using third = await store.cacheMounts.claim("npm", "private", signal);
    expect(third.directory).toBe(first.directory);
    expect(third.isNew).toBe(false);
  });

  test("that is locked is had by one process at a time", async () => {
    const other =
      withStore(`const claim = await store.cacheMounts.claim("go", "locked", signal); claim.seeded(); say("mine");
      await hear(); claim[Symbol.dispose](); await hear();`);
    await other.line();
    const waiting = store.cacheMounts.claim("go", "locked", signal);
    const abort = new AbortController();
    const given = store.cacheMounts.claim("go", "locked", abort.signal);
    abort.abort(new Error("still locked"));
    await expect(given).rejects.toThrow("still locked");
    other.send("give it back");
    using claim = await waiting;
    expect(claim.isNew).toBe(false);
  });
});

describe("processes on one store", () => {
  test("may all make it at the same moment", async () => {
    const fresh = join(root, "fresh");
    const code = `say("ready"); await hear();
      const other = openStore(${JSON.stringify(fresh)}, { native: loadNative("ROOT/build/kiln.node"), clock: { nowMs: () => 1 } });
      other.snapshots.insert([{ id: "s" + process.pid, state: "present" }]); say("made"); await hear();`;
    const others = [withStore(code), withStore(code), withStore(code), withStore(code)];
    await Promise.all(others.map((other) => other.line()));
    for (const other of others) other.send("now");
    expect(await Promise.all(others.map((other) => other.line()))).toEqual(["made", "made", "made", "made"]);
  });

  test("see each other's records as soon as they are in", async () => {
    const other = withStore(`const key = digestOf("key");
      store.records.insert({ id: "r", definitionKey: key, site: "s", name: "n", parts: [], layers: ["l"], wallMs: 1, cpuMs: 1, producer: "local" },
        { snapshots: [{ id: "l", state: "present" }] });
      say("in"); await hear();`);
    await other.line();
    expect(store.records.findByDefinitionKey(digestOf("key"))?.layers).toEqual(["l"]);
  });

  test("killed while they write leave whole records or none, and no blob that is not whole", async () => {
    const code = `say("writing");
      for (let n = 0; ; n += 1) {
        const id = process.pid + "-" + n;
        const blob = store.blobs.put("listing " + id.repeat(1000));
        store.records.insert({ id, definitionKey: blob.digest, site: "s", name: "n", parts: [{ name: "files", value: "", listing: blob.digest }],
          layers: ["l" + id], wallMs: 1, cpuMs: 1, producer: "local" }, { snapshots: [{ id: "l" + id, state: "present" }] });
        if (n === Number(process.pid % 50)) say("some");
      }`;
    for (let round = 0; round < 4; round += 1) {
      const others = [withStore(code), withStore(code)];
      // The first line comes before any write, the second after some: killed on either side.
      await Promise.all(others.map((other) => other.line()));
      if (round % 2 === 1) await others[0]?.line();
      for (const other of others) other.kill();
      await Promise.all(others.map((other) => other.ended()));
    }
    expect(store.database.problems()).toEqual([]);
    // Half of the rounds were killed after writes.
    expect([...store.records.list()].length).toBeGreaterThan(0);
    for (const record of store.records.list()) {
      expect(store.snapshots.getMany(record.layers)).toHaveLength(1);
      expect(store.records.findByDefinitionKey(record.definitionKey)?.id).toBe(record.id);
      const listing = record.parts[0]?.listing as Digest;
      expect(store.blobs.readBytes(listing, 1 << 20)).toBeDefined();
    }
    for (const name of readdirSync(store.layout.blobs)) {
      if (name.startsWith("new-")) continue;
      expect(store.blobs.readBytes(`sha256:${name}` as Digest, 1 << 20)).toBeDefined();
    }
  });

  test("hold what they were handed, until they end", async () => {
    store.snapshots.insert([{ id: snapshotId("held"), state: "present" }]);
    const other = withStore(`store.snapshots.get("held"); say("held"); await hear();`);
    await other.line();
    await store[Symbol.asyncDispose]();
    await using later = openStore(root, { native: locateNative(), clock: { nowMs: () => 1 } });
    expect(later.holds.collect(({ held }) => held.has("snapshot:held"))).toBe(true);
    other.kill();
    await other.ended();
    expect(later.holds.collect(({ held }) => held.has("snapshot:held"))).toBe(false);
    expect(existsSync(later.layout.running)).toBe(true);
  });
});
