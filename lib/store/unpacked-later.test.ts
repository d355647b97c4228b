import { snapshotId } from "./snapshot-id.ts";
import { existsSync, mkdtempSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Digest, digestOf, hexOf } from "../core/digest.ts";
import { MEDIA_TYPES } from "../core/oci.ts";
import { locateNative } from "../native/locate.ts";
import { fsck } from "./fsck.ts";
import { openStore, type OpenStore } from "./open-store.ts";
import { prune, type PruneOptions, type PruneResult } from "./prune.ts";
import { usage } from "./usage.ts";

// A layer that a step wrote as a tar: no files, and the only blob.

const { signal } = new AbortController();
const BYTES = 200_000;
let root: string;
let store: OpenStore;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "kiln-store-"));
  store = openHere();
});

afterEach(async () => {
  await store[Symbol.asyncDispose]();
  rmSync(root, { recursive: true, force: true });
});

function openHere(): OpenStore {
  return openStore(root, { native: locateNative(), clock: { nowMs: () => 1_700_000_000_000 } });
}

async function collect(options: PruneOptions): Promise<PruneResult> {
  await store[Symbol.asyncDispose]();
  store = openHere();
  return prune(store, options, signal);
}

/** @returns the blob. */
function written(name: string): Digest {
  const { digest, size } = store.blobs.put(Buffer.alloc(BYTES, name));
  const id = snapshotId(`built-${hexOf(digest)}`);
  store.records.insert(
    {
      id: name,
      definitionKey: digestOf(name),
      contentKey: undefined,
      site: name,
      name: `COPY ${name}`,
      parts: [],
      layers: [id],
      wallMs: 1000,
      cpuMs: 1,
      peakMemoryBytes: undefined,
      logFile: undefined,
      producer: "local",
    },
    {
      snapshots: [{ id, state: "absent", diffId: digest, tarSizeBytes: size }],
      layerBlobs: [
        { diffId: digest, descriptor: { mediaType: MEDIA_TYPES.ociLayer, digest, size }, repository: undefined },
      ],
    },
  );
  return digest;
}

const isHere = (blob: Digest): boolean => existsSync(store.blobs.pathOf(blob));

test("its space is the step's, and both go together", async () => {
  const blob = written("a");
  const { items } = await usage(store, signal);
  expect(items.find(({ kind }) => kind === "step")?.bytes).toBeGreaterThanOrEqual(BYTES);
  expect(items.filter(({ kind }) => kind === "blob")).toEqual([]);
  const { victims } = await collect({ keepBytes: 0 });
  expect(victims).toMatchObject([{ kind: "step", snapshot: `built-${hexOf(blob)}` }]);
  expect(victims[0]?.bytes).toBeGreaterThanOrEqual(BYTES);
  expect(isHere(blob)).toBe(false);
  expect(store.snapshots.byDiffId(blob)).toEqual([]);
});

test("under a limit as many go as there must, and what stays keeps its blob", async () => {
  const blobs = ["a", "b", "c", "d"].map(written);
  const { totalBytes } = await collect({ keepBytes: Number.MAX_SAFE_INTEGER });
  expect(blobs.map(isHere)).toEqual([true, true, true, true]);
  const { victims } = await collect({ keepBytes: totalBytes - 1.5 * BYTES });
  expect(victims.map(({ kind }) => kind)).toEqual(["step", "step"]);
  expect(blobs.filter(isHere)).toHaveLength(2);
  for (const blob of blobs) expect(store.records.findByDefinitionKey(blob)).toBeUndefined();
});

test.each<{ name: string; damage: (path: string) => void; kinds: readonly string[] }>([
  { name: "damaged", damage: (path) => truncateSync(path, 1000), kinds: ["blob-damaged", "record-broken"] },
  { name: "gone", damage: (path) => rmSync(path), kinds: ["record-broken"] },
])("a blob that is $name is found with the step that needs it, which then runs again", async ({ damage, kinds }) => {
  const blob = written("a");
  const other = written("b");
  expect((await fsck(store, { repair: false }, signal)).problems).toEqual([]);
  damage(store.blobs.pathOf(blob));
  const { problems } = await fsck(store, { repair: true }, signal);
  expect(problems.map(({ kind }) => kind)).toEqual(kinds);
  expect(store.records.findByDefinitionKey(digestOf("a"))).toBeUndefined();
  expect(store.records.findByDefinitionKey(digestOf("b"))).toBeDefined();
  expect((await fsck(store, { repair: false }, signal)).problems).toEqual([]);
  expect(isHere(other)).toBe(true);
});
