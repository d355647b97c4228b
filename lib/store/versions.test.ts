import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Script, startScript } from "../../test/support/script.ts";
import { BuildError } from "../core/errors.ts";
import { locateNative } from "../native/locate.ts";
import type { LockCalls } from "./file-lock.ts";
import { openStore, type OpenStore, type StoreOptions } from "./open-store.ts";

/* Two versions of kiln on one store. The other version is this one with another number in the file, and its tables. */

const OLDER = "ALTER TABLE snapshots DROP COLUMN run_ns; PRAGMA user_version = 1001";
const NEWER = "PRAGMA user_version = 99002";
const native = locateNative();
let root: string;
let others: Script[];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "kiln-versions-"));
  others = [];
});
afterEach(async () => {
  await Promise.all(others.map((other) => other[Symbol.asyncDispose]()));
  rmSync(root, { recursive: true, force: true });
});

const open = (calls: StoreOptions["native"] = native): OpenStore =>
  openStore(root, { native: calls, clock: { nowMs: () => 1_700_000_000_000 } });

async function makeStore(changes: string): Promise<void> {
  await open()[Symbol.asyncDispose]();
  change(changes);
}

function change(statements: string): void {
  const database = new DatabaseSync(join(root, "kiln.db"));
  database.exec(statements);
  database.close();
}

function versionInFile(): unknown {
  const database = new DatabaseSync(join(root, "kiln.db"));
  const { user_version: version } = database.prepare("PRAGMA user_version").get() ?? {};
  database.close();
  return version;
}

function failureOf(work: () => unknown): BuildError | undefined {
  try {
    work();
  } catch (error) {
    if (error instanceof BuildError) return error;
    throw error;
  }
  return undefined;
}

/** Another process with the store open, which then has the form of another version. */
async function otherKiln(form: string): Promise<Script> {
  const other = startScript(`
    import { openStore } from "ROOT/lib/store/open-store.ts";
    import { loadNative } from "ROOT/lib/native/load.ts";
    const store = openStore(${JSON.stringify(root)}, { native: loadNative("ROOT/build/kiln.node"), clock: { nowMs: () => 0 } });
    process.stdout.write("open\\n");
    process.stdin.once("data", async () => { await store[Symbol.asyncDispose](); process.stdout.write("closed\\n"); process.exit(0); });
  `);
  others.push(other);
  expect(await other.line()).toBe("open");
  change(form);
  return other;
}

test("an older store is not migrated while another process has it open, and is when that ended", async () => {
  const older = await otherKiln(OLDER);
  const failure = failureOf(open);
  expect(failure).toMatchObject({ code: "store/locked", message: expect.stringContaining("1 running kiln uses it") });
  expect(versionInFile()).toBe(1001);
  older.send("end");
  expect(await older.line()).toBe("closed");
  await using _store = open();
  expect(versionInFile()).not.toBe(1001);
});

test("an older store of a killed process is migrated, and what that left unfinished is still known", async () => {
  const older = await otherKiln(OLDER);
  const [left = ""] = readdirSync(join(root, "running")).filter((name) => name !== "lock");
  older.kill();
  await older[Symbol.asyncDispose]();
  await using _store = open();
  expect(existsSync(join(root, "running", left))).toBe(true);
  expect(versionInFile()).not.toBe(1001);
});

test("a newer store is refused and left as it is, in use or not", async () => {
  const newer = await otherKiln(NEWER);
  expect(failureOf(open)).toMatchObject({ code: "store/version", message: expect.stringContaining("a newer kiln") });
  newer.send("end");
  expect(await newer.line()).toBe("closed");
  expect(failureOf(open)).toMatchObject({ code: "store/version" });
  expect(versionInFile()).toBe(99002);
});

test("a store of the same form is shared by two processes", async () => {
  await otherKiln("");
  await using store = open();
  expect(store.records.get("none")).toBeUndefined();
});

test("a store migrated between a process's look and its registration is refused, and no registration stays", async () => {
  await makeStore("");
  const lockSync: LockCalls["lockSync"] = (fd, mode) => {
    if (mode === "shared") change(NEWER);
    native.lockSync(fd, mode);
  };
  expect(failureOf(() => open({ ...native, lockSync }))).toMatchObject({ code: "store/version" });
  expect(readdirSync(join(root, "running"))).toEqual(["lock"]);
});

test("of two processes that would migrate at once, the second finds it done", async () => {
  await makeStore(OLDER);
  let first: OpenStore | undefined;
  const lockSync: LockCalls["lockSync"] = (fd, mode) => {
    if (mode === "exclusive") first ??= open();
    native.lockSync(fd, mode);
  };
  await using second = open({ ...native, lockSync });
  expect(second.snapshots.getMany([])).toEqual([]);
  await first?.[Symbol.asyncDispose]();
});
