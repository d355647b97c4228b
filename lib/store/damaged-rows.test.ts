import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, test } from "vitest";
import { digestOf } from "../core/digest.ts";
import { locateNative } from "../native/locate.ts";
import { fsck } from "./fsck.ts";
import { openStore, type OpenStore } from "./open-store.ts";
import { snapshotId } from "./snapshot-id.ts";
import type { NewRecord } from "./store.ts";

const signal = new AbortController().signal;
let root: string;
let store: OpenStore;

const open = (): OpenStore => openStore(root, { native: locateNative(), clock: { nowMs: () => 1_000 } });

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "kiln-damaged-"));
  store = open();
  store.records.insert(RECORD, { snapshots: [{ id: snapshotId("made"), state: "absent" }] });
  const descriptor = { mediaType: "application/vnd.oci.image.manifest.v1+json", digest: digestOf("m"), size: 1 };
  store.refs.set("docker.io/library/app:latest", descriptor);
  store.pulled.answered("docker.io/library/base:1", descriptor);
});

afterEach(async () => {
  await store[Symbol.asyncDispose]();
  rmSync(root, { recursive: true, force: true });
});

const KEY = digestOf("key");
const RECORD: NewRecord = {
  id: "r",
  definitionKey: KEY,
  contentKey: undefined,
  site: "build RUN make",
  name: "[build 2/5] RUN make",
  parts: [{ name: "instruction", value: "RUN make" }],
  layers: [snapshotId("made")],
  wallMs: 1,
  cpuMs: 1,
  peakMemoryBytes: undefined,
  logFile: undefined,
  producer: "local",
};

/** Damages one column, as a disk or a hand with an editor does. */
async function damage(table: string, column: string, value: string): Promise<void> {
  await store[Symbol.asyncDispose]();
  const database = new DatabaseSync(join(root, "kiln.db"));
  database.prepare(`UPDATE ${table} SET ${column} = ?`).run(value);
  database.close();
  store = open();
}

const BROKEN = [
  { column: "layers", value: "{", where: 'in the column "layers", it is not JSON' },
  { column: "layers", value: '["../../etc"]', where: 'in the column "layers", [0] is not a snapshot\'s id' },
  { column: "parts", value: '[{"name":1,"value":""}]', where: 'in the column "parts", [0].name is not a text' },
  { column: "parts", value: "null", where: 'in the column "parts", it is not a list' },
];

test.each(BROKEN)(
  "a record with damaged $column ($value) is told by fsck and repaired",
  async ({ column, value, where }) => {
    await damage("records", column, value);
    const told = (await fsck(store, { repair: false }, signal)).problems;
    expect(told).toContainEqual(
      expect.objectContaining({ kind: "row-damaged", id: "records r", message: expect.stringContaining(where) }),
    );
    expect((await fsck(store, { repair: true }, signal)).problems).toContainEqual({ ...told[0], repaired: true });
    expect((await fsck(store, { repair: false }, signal)).problems.map(({ kind }) => kind)).not.toContain(
      "row-damaged",
    );
    expect(store.records.list()).toEqual([]);
  },
);

test("a record with damaged layers is a miss, and its step is recorded anew", async () => {
  await damage("records", "layers", "[1]");
  expect(store.records.findByDefinitionKey(KEY)).toBeUndefined();
  expect(store.records.findByDefinitionKeys([KEY])).toEqual(new Map());
  store.records.insert(RECORD, { snapshots: [] });
  expect(store.records.findByDefinitionKey(KEY)?.layers).toEqual(["made"]);
});

test("a record with damaged parts is a hit, and explains nothing", async () => {
  await damage("records", "parts", "[1]");
  expect(store.records.findByDefinitionKey(KEY)?.layers).toEqual(["made"]);
  expect(store.records.latestBySite(RECORD.site, 8)).toEqual([]);
});

test.each([
  {
    table: "refs",
    column: "descriptor",
    value: '{"mediaType":"a","digest":"sha256:1","size":1}',
    why: "digest is not a sha256 digest",
  },
  { table: "refs", column: "descriptor", value: "nothing", why: "it is not JSON" },
])(
  "a damaged $column of $table ($value) is an error with its place and a hint",
  async ({ table, column, value, why }) => {
    await damage(table, column, value);
    const read = (): unknown => store.refs.list();
    expect(read).toThrow(
      expect.objectContaining({
        code: "store/corrupt",
        message: `Cannot read the store's database: in the column "${column}", ${why}`,
        hint: expect.stringContaining("kiln fsck --repair"),
      }),
    );
  },
);

test.each(["{", "[]", '{"target":{},"answeredAtMs":1,"triedAtMs":1}'])(
  "what is only remembered of a name counts as nothing when it is damaged: %s",
  (value) => {
    store.facts.set("pulled", "docker.io/library/base:1", { value: Buffer.from(value) });
    expect(store.pulled.get("docker.io/library/base:1")).toBeUndefined();
  },
);

test("a fact that names no blobs as it should was never known", async () => {
  await damage("facts", "blobs", '["x"]');
  expect(store.pulled.get("docker.io/library/base:1")).toBeUndefined();
});
