import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { locateNative } from "../native/locate.ts";
import { Holds } from "./holds.ts";

test("a process that ends while its holds are read still holds what it held", () => {
  const directory = mkdtempSync(join(tmpdir(), "kiln-holds-"));
  try {
    const native = locateNative();
    const ending = new Holds(directory, native);
    ending.add(["record:old"]);
    using collector = new Holds(directory, {
      ...native,
      tryLock(fd, kind) {
        const isFree = native.tryLock(fd, kind);
        // The process was alive at the listing, and is gone before its file is read.
        ending[Symbol.dispose]();
        return isFree;
      },
    });
    expect(collector.collect(({ held }) => [...held])).toEqual(["record:old"]);
    collector.add(["record:mine"]);
    expect(collector.collect(({ held }) => [...held])).toEqual(["record:mine"]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
