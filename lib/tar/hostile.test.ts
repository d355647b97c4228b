import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { BuildError } from "../core/errors.ts";
import { locateNative } from "../native/locate.ts";
import { dir, type Member, symlink, tarOf } from "./testing.ts";
import { unpackArchive } from "./unpack.ts";

/* Hostile archives: each ends in one error that names the member, or in the kernel's own result. */

const native = locateNative();
const signal = new AbortController().signal;
let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kiln-hostile-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

async function failure(members: readonly Member[]): Promise<BuildError> {
  const open = readdirSync("/proc/self/fd").length;
  try {
    await unpackArchive(tarOf(members), { native, directory }, signal);
  } catch (error) {
    expect(readdirSync("/proc/self/fd")).toHaveLength(open);
    if (error instanceof BuildError) return error;
    throw error;
  }
  throw new Error("It was unpacked");
}

const value = (bytes: number): Buffer => Buffer.alloc(bytes, "v");

test.each([
  { name: "a path with a NUL byte", member: { path: "é\0b" }, code: "archive/malformed", says: /"é\\u0000b": .*NUL/ },
  {
    name: "a link with one",
    member: symlink("a", "é\0b"),
    code: "snapshot/failed",
    says: /invalid argument \(symlink\)/,
  },
  {
    name: "a path of 400 KiB",
    member: { path: "é/".repeat(200_000) + "f" },
    code: "archive/malformed",
    says: /longer than/,
  },
  {
    name: "a path that is too long in bytes",
    member: { path: "é/".repeat(2000) },
    code: "snapshot/failed",
    says: /too long/,
  },
  { name: "a name that is too long", member: { path: "n".repeat(300) }, code: "snapshot/failed", says: /too long/ },
  {
    name: "an attribute with too long a name",
    member: { path: "a", xattrs: { [`user.${"n".repeat(300)}`]: value(1) } },
    code: "snapshot/failed",
    says: /"a": .* \(setxattr\)/,
  },
  {
    name: "an attribute that is too large for any file system",
    member: { path: "a", xattrs: { "user.n": value(70_000) } },
    code: "snapshot/failed",
    says: /"a": .* \(setxattr\)/,
  },
])("refuses $name", async ({ member, code, says }) => {
  const error = await failure([member]);
  expect(error.code).toBe(code);
  expect(error.message).toMatch(says);
  expect(error.message.length).toBeLessThan(5000);
});

test("a symlink that climbs above the root leads to the root, as it does for the kernel", async () => {
  const members = [dir("a"), symlink("a/up", "../../../lib"), { path: "a/up/file", content: "x" }];
  await unpackArchive(tarOf(members), { native, directory }, signal);
  expect(readFileSync(join(directory, "lib/file"), "utf8")).toBe("x");
});
