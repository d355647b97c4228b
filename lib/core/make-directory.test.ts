import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { makeDirectory } from "./make-directory.ts";

test("a directory is made with all that is missing above it, and is fine when it is there", () => {
  const home = mkdtempSync(join(tmpdir(), "kiln-make-"));
  try {
    makeDirectory(join(home, "a/b/c"), 0o700);
    makeDirectory(join(home, "a/b/c"), 0o700);
    expect(statSync(join(home, "a/b")).mode & 0o777).toBe(0o700);
    writeFileSync(join(home, "file"), "");
    expect(() => makeDirectory(join(home, "file"))).toThrow("EEXIST");
    expect(() => makeDirectory(join(home, "file/x/y"))).toThrow("ENOTDIR");
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
});

test("where nothing can be made the attempt ends", () => {
  expect(() => makeDirectory("/proc/nothing/can/be/here")).toThrow("ENOENT");
});
