import { cpSync, renameSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { missing, mustKiln, temporary } from "../e2e/harness.ts";
import { counted, executions, importBusybox, writeContext } from "./kiln-process.ts";

const why = missing("busybox");
if (why !== undefined) console.warn(`tests of cache keys are skipped: ${why}`);

// The test observes from outside which commands run again, and so which builds count as "the same".
describe.skipIf(why !== undefined)(
  "a step runs again only when what it looks at has changed",
  { timeout: 120_000 },
  () => {
    const folder = temporary();
    const store = join(folder.path, "store");

    beforeAll(() => importBusybox(store, folder.path));
    afterAll(() => folder[Symbol.dispose]());

    /** Makes a context with unique names for the commands, so that tests share the store and nothing else. */
    function contextOf(name: string, lines: readonly string[], files: Readonly<Record<string, string>>): string {
      return writeContext(join(folder.path, name), { Dockerfile: `${lines.join("\n")}\n`, ...files });
    }
    const build = (directory: string, ...args: string[]): string =>
      mustKiln(store, ["build", "--progress", "plain", ...args, directory]).stderr;
    const runsOf = (name: string): number => executions(store).filter((line) => line === name).length;

    const copying = (name: string): string[] => ["FROM busybox", "COPY src/ /src/", counted(name, "cat /src/a > /out")];

    test.each<{ name: string; change: (directory: string) => string | void; runs: number }>([
      {
        name: "touched",
        change: (directory) => utimesSync(join(directory, "src/a"), 1, 1),
        runs: 1,
      },
      {
        name: "rewritten with the same text",
        change: (directory) => {
          writeFileSync(join(directory, "src/new"), "a\n");
          renameSync(join(directory, "src/new"), join(directory, "src/a"));
        },
        runs: 1,
      },
      {
        name: "checked out afresh into another directory",
        change: (directory) => {
          cpSync(directory, `${directory}-again`, { recursive: true });
          return `${directory}-again`;
        },
        runs: 1,
      },
      {
        name: "left alone while files that no COPY reads change",
        change: (directory) => void writeContext(directory, { "README.md": "changed\n", "other/x": "new\n" }),
        runs: 1,
      },
      {
        name: "changed to others of equal size with the times set back",
        change: (directory) => {
          const path = join(directory, "src/a");
          const { atime, mtime } = statSync(path);
          writeFileSync(path, "b\n");
          utimesSync(path, atime, mtime);
        },
        runs: 2,
      },
      { name: "joined by another", change: (directory) => void writeContext(directory, { "src/b": "b\n" }), runs: 2 },
    ])("files $name: $runs", ({ name, change, runs }) => {
      const id = name.replaceAll(" ", "-");
      const directory = contextOf(id, copying(id), { "src/a": "a\n" });
      build(directory);
      build(change(directory) ?? directory);
      expect(runsOf(id)).toBe(runs);
    });

    test("a file that changes right after a build, again and again, is never missed", () => {
      const directory = contextOf("racy", copying("racy"), { "src/a": "0\n" });
      build(directory);
      for (let n = 1; n < 8; n += 1) {
        // The same size, written as soon after the build's end as a process can.
        writeFileSync(join(directory, "src/a"), `${n}\n`);
        build(directory, "-t", "racy");
        expect(mustKiln(store, ["run", "racy", "cat", "/out"]).stdout).toBe(`${n}\n`);
      }
      expect(runsOf("racy")).toBe(8);
    });

    test.each([
      {
        name: "COPY --from",
        lines: ["FROM busybox", "COPY --from=work /out /out", counted("after-copy", "cat /out")],
        last: "after-copy",
      },
      {
        name: "a bind mount",
        lines: [
          "FROM busybox",
          counted("after-bind", "cat /work/out").replace("RUN ", "RUN --mount=from=work,source=/out,target=/work/out "),
        ],
        last: "after-bind",
      },
      { name: "a chain of commands", lines: ["FROM work", counted("after-chain", "cat /out")], last: "after-chain" },
    ])("a command that ends where it ended before stops the change at $name", ({ name, lines, last }) => {
      const id = `work-${last}`;
      const work = [
        "FROM busybox AS work",
        counted(id, "grep -v comment /src/a > /out").replace("RUN ", "RUN --mount=target=/src,source=src "),
      ];
      const directory = contextOf(name.replaceAll(" ", "-"), [...work, ...lines], { "src/a": "kept\ncomment 1\n" });
      build(directory);
      writeContext(directory, { "src/a": "kept\ncomment 2\n" });
      build(directory);
      expect([runsOf(id), runsOf(last)]).toEqual([2, 1]);
      writeContext(directory, { "src/a": "changed\ncomment 2\n" });
      build(directory);
      expect([runsOf(id), runsOf(last)]).toEqual([3, 2]);
    });

    test("going back to an earlier state runs nothing", () => {
      const directory = contextOf("back", copying("back"), { "src/a": "1\n" });
      for (const text of ["1\n", "2\n", "1\n", "2\n"]) {
        writeContext(directory, { "src/a": text });
        build(directory);
      }
      expect(runsOf("back")).toBe(2);
    });
  },
);
