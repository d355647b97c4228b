import { snapshotId } from "./snapshot-id.ts";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { digestOf } from "../core/digest.ts";
import { BuildError } from "../core/errors.ts";
import { locateNative } from "../native/locate.ts";
import { fsck } from "./fsck.ts";
import { openStore, type OpenStore } from "./open-store.ts";
import { prune } from "./prune.ts";

const signal = new AbortController().signal;
const root = mkdtempSync(join(tmpdir(), "kiln-full-"));
const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=16m,mode=0700", "tmpfs", root]).status === 0;
const reason = mounted ? "" : ": skipped, mounting a small tmpfs needs root";

describe.skipIf(!mounted)(`on a full disk${reason}`, () => {
  let store: OpenStore;

  beforeAll(() => {
    store = openStore(root, { native: locateNative(), clock: { nowMs: () => 1_700_000_000_000 } });
  });

  function fill(): number {
    // Fill the disk to its last block: dd ends with "no space left", as intended.
    spawnSync("dd", ["if=/dev/zero", `of=${join(root, "filler")}`, "bs=4k"]);
    return Number(execFileSync("df", ["--output=avail", root], { encoding: "utf8" }).split("\n")[1]);
  }

  const record = (n: number): Parameters<OpenStore["records"]["insert"]>[0] => ({
    id: `record-${n}`,
    definitionKey: digestOf(`${n}`),
    contentKey: undefined,
    site: "s",
    name: "n",
    parts: [{ name: "instruction", value: "x".repeat(4000) }],
    layers: [snapshotId(`layer-${n}`)],
    wallMs: 1,
    cpuMs: 1,
    peakMemoryBytes: undefined,
    logFile: undefined,
    producer: "local",
  });

  test("every write says so, nothing is left half, and all works again with space", async () => {
    const whole = store.blobs.put("a whole blob").digest;
    expect(fill()).toBe(0);
    const big = Buffer.alloc(1 << 20, 7);
    const stream = (): Readable => Readable.from([big.subarray(0, 4096), big.subarray(4096)]);
    await expect(store.blobs.write(stream(), {}, signal)).rejects.toMatchObject({
      code: "store/full",
      hint: expect.stringContaining("kiln prune"),
    });
    const expected = { digest: digestOf(big), size: big.length };
    await expect(store.blobs.download(expected, async () => stream(), signal)).rejects.toMatchObject({
      code: "store/full",
    });
    let failure: unknown;
    let inserted = 0;
    for (; inserted < 2000 && failure === undefined; inserted += 1) {
      try {
        store.records.insert(record(inserted), { snapshots: [] });
      } catch (error) {
        failure = error;
      }
    }
    expect(failure).toBeInstanceOf(BuildError);
    expect(failure).toMatchObject({ code: "store/full" });
    expect(store.records.findByDefinitionKey(digestOf(`${inserted - 1}`))).toBeUndefined();
    store.records.touch(["record-0"]);
    store.flush();

    rmSync(join(root, "filler"));
    expect(store.blobs.readBytes(whole, 100)?.toString()).toBe("a whole blob");
    expect(store.database.problems()).toEqual([]);
    expect((await fsck(store, { repair: false }, signal)).problems.map(({ kind }) => kind)).not.toContain("database");
    store.records.insert(record(inserted), {
      snapshots: [{ id: snapshotId(`layer-${inserted}`), state: "present" }],
    });
    expect(
      await store.blobs.download(expected, async (offset) => Readable.from([big.subarray(offset)]), signal),
    ).toEqual(expected);
    expect(readdirSync(store.layout.blobs).filter((name) => name.startsWith("new-"))).toEqual([]);
  });

  test("the store can be opened and collected", async () => {
    await store[Symbol.asyncDispose]();
    expect(fill()).toBe(0);
    store = openStore(root, { native: locateNative(), clock: { nowMs: () => 1_700_000_000_000 } });
    const { victims } = await prune(store, { all: true }, signal);
    expect(victims.length).toBeGreaterThan(0);
    expect([...store.records.list()]).toEqual([]);
    expect(store.database.problems()).toEqual([]);
  });

  afterAll(async () => {
    await store[Symbol.asyncDispose]();
    execFileSync("umount", ["-l", root]);
  });
});

afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});
