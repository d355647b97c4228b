import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { digestOf } from "../../../lib/core/digest.ts";
import { locateNative } from "../../../lib/native/locate.ts";
import type { SnapshotId, SnapshotRow } from "../../../lib/store/model.ts";
import { PackPool } from "../../../lib/tar/pack-pool.ts";
import { LayerPacker, type LayerPackerDeps } from "./layer-packer.ts";

const native = locateNative();
const { signal } = new AbortController();
const id = "layer" as SnapshotId;

let directory = "";
let row: SnapshotRow;
let measured = 0;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kiln-packer-"));
  mkdirSync(join(directory, "etc"));
  writeFileSync(join(directory, "etc/large"), Buffer.alloc(3 << 20, "text "));
  row = { id, state: "present" } as SnapshotRow;
  measured = 0;
});
afterEach(() => rmSync(directory, { recursive: true }));

function open(): LayerPacker {
  const pool = new PackPool({ native, maxLayers: 1 });
  const snapshots = {
    get: () => row,
    learn: (_: SnapshotId, facts: Partial<SnapshotRow>) => {
      row = { ...row, ...facts };
    },
  };
  const deps = {
    store: { snapshots },
    native,
    snapshotter: { pathOf: () => directory, marks: "trusted" },
    packPool: {
      measure: (...args: Parameters<PackPool["measure"]>) => {
        measured += 1;
        return pool.measure(...args);
      },
    },
  };
  return new LayerPacker(deps as unknown as LayerPackerDeps, signal);
}

async function bytesOf(tar: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

test("a layer is measured in the pass that gives its tar", async () => {
  await using packer = open();
  const work = packer.packOnce(id, bytesOf);
  const layer = packer.layer(id, signal);
  const packed = await work;
  const tar = packed?.value ?? Buffer.alloc(0);
  expect(await layer).toEqual({ diffId: digestOf(tar), tarSizeBytes: tar.length });
  expect(measured).toBe(0);
  const { contentDigest } = row;
  row = { id, state: "present" } as SnapshotRow;
  await using other = open();
  expect(await other.layer(id, signal)).toEqual({ diffId: digestOf(tar), tarSizeBytes: tar.length });
  expect([measured, row.contentDigest]).toEqual([1, contentDigest]);
});

test("a step that waits for a layer's content does not wait for a slow reader of its tar", async () => {
  await using packer = open();
  const { promise, resolve } = Promise.withResolvers<void>();
  const work = packer.packOnce(id, async (tar) => {
    await promise;
    return bytesOf(tar);
  });
  const digest = await packer.contentDigest(id, signal);
  resolve();
  expect((await work)?.measure.contentDigest).toBe(digest);
});

test.each(["fails", "stops early"] as const)("a reader that %s takes nothing away from the layer", async (how) => {
  await using packer = open();
  const work = packer.packOnce(id, async (tar) => {
    for await (const _ of tar)
      if (how === "fails") throw new Error("no room");
      else break;
  });
  const layer = packer.layer(id, signal);
  await expect(work).rejects.toThrow(how === "fails" ? /no room/ : /not read to its end/);
  expect((await layer).tarSizeBytes).toBeGreaterThan(3 << 20);
  expect(measured).toBe(1);
});

test("a layer that has been measured is not packed for that", async () => {
  await using packer = open();
  await packer.layer(id, signal);
  expect(await packer.packOnce(id, bytesOf)).toBeUndefined();
});
