import { execFileSync } from "node:child_process";
import { chmodSync, readdirSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { kiln, missing, mustKiln } from "../e2e/harness.ts";
import { diskUsage, totalOf } from "./disk-usage.ts";
import { useFreshStore } from "./fresh-store.ts";
import { writeContext } from "./kiln-process.ts";

const why = missing("busybox");
if (why !== undefined) console.warn(`tests of layers that share files are skipped: ${why}`);

describe.skipIf(why !== undefined)("layers that share files", { timeout: 120_000 }, () => {
  let store: string;
  let context: string;
  useFreshStore((fresh) => ({ store, context } = fresh));

  const RUIN =
    "RUN cd /src && echo more >> f1 && echo other > f2 && chmod 777 f3 && chown 5:5 f4 && touch -d @5 f5 && rm f6 && " +
    "mv f7 moved && ln f8 linked && truncate -s 0 f9 && echo $(cat f1 f2) $(stat -c %a f3)";

  function build(changed: string, run: string, ...args: string[]): string {
    const files = Object.fromEntries(Array.from({ length: 200 }, (_, n) => [`src/f${n}`, `file ${n}\n`]));
    writeContext(context, { Dockerfile: `FROM busybox\nCOPY src /src\n${run}\n`, ...files, "src/f0": changed });
    // The checkout keeps its times, so that only the changed file differs.
    for (const name of readdirSync(join(context, "src"))) {
      chmodSync(join(context, "src", name), 0o644);
      utimesSync(join(context, "src", name), 1000, 1000);
    }
    return mustKiln(store, ["build", "-q", "-t", changed.trim(), ...args, context]).stdout.trim();
  }
  /** Lists the layers of COPY, each with its file's number of hard links. */
  function copies(): readonly { readonly path: string; readonly links: number }[] {
    return readdirSync(join(store, "snapshots")).flatMap((id) => {
      const path = join(store, "snapshots", id, "src");
      if (!statSync(join(path, "f100"), { throwIfNoEntry: false })) return [];
      return [{ path, links: statSync(join(path, "f100")).nlink }];
    });
  }

  test("are not changed by a command that writes to all of them, and are what a build without cache makes", () => {
    build("one\n", RUIN);
    build("two\n", RUIN);
    expect(copies().map(({ links }) => links)).toEqual([2, 2]);
    for (const { path } of copies()) {
      for (const n of [1, 2, 3, 4, 5, 6, 7, 8, 9]) {
        const { mode, uid, mtimeMs, size } = statSync(join(path, `f${n}`));
        expect([mode & 0o7777, uid, mtimeMs, size]).toEqual([0o644, 0, 1_000_000, `file ${n}\n`.length]);
      }
    }
    const dated = ["--build-arg", "SOURCE_DATE_EPOCH=0"];
    build("three\n", "LABEL a=b", ...dated);
    const shared = build("four\n", "LABEL a=b", ...dated);
    expect(copies().map(({ links }) => links)).toEqual([4, 4, 4, 4]);
    expect(build("four\n", "LABEL a=b", ...dated, "--no-cache")).toBe(shared);
    expect(kiln(store, ["fsck"])).toMatchObject({ status: 0, stdout: expect.stringContaining(" 0 problems") });
  });

  test("are counted once, and lose only their own when one of them is pruned", () => {
    for (const text of ["one\n", "two\n", "three\n"]) build(text, RUIN);
    expect(copies().map(({ links }) => links)).toEqual([3, 3, 3]);
    const totalBytes = totalOf(diskUsage(store));
    const du = Number(execFileSync("du", ["-s", "--block-size=1", store], { encoding: "utf8" }).split("\t")[0]);
    expect(Math.abs(totalBytes - du) / du).toBeLessThan(0.02);
    mustKiln(store, ["rmi", "one", "two"]);
    mustKiln(store, ["prune", "--all"]);
    expect(copies().map(({ links }) => links)).toEqual([1]);
    expect(kiln(store, ["fsck"])).toMatchObject({ status: 0, stdout: expect.stringContaining(" 0 problems") });
    expect(kiln(store, ["run", "--rm", "three", "cat", "/src/f0", "/src/f100"]).stdout).toBe("three\nfile 100\n");
  });
});
