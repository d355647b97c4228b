import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { kiln, missing, mustKiln, type Outcome, temporary } from "../e2e/harness.ts";
import { importBusybox, writeContext } from "./kiln-process.ts";

const folder = temporary();
const mountPoint = join(folder.path, "disk");
const store = join(mountPoint, "store");

/**
 * Mounts a file system of 24 MiB with blocks smaller than a page of memory.
 * @returns the reason why that is impossible here
 */
function mountSmallBlocks(): string | undefined {
  const image = join(folder.path, "disk.img");
  mkdirSync(mountPoint);
  const made =
    spawnSync("truncate", ["-s", "24M", image]).status === 0 &&
    spawnSync("mkfs.ext4", ["-q", "-b", "1024", "-m", "0", image]).status === 0 &&
    spawnSync("mount", ["-o", "loop", image, mountPoint]).status === 0;
  return made ? undefined : "needs mkfs.ext4 and the right to mount a loop device";
}

const why = missing("busybox") ?? mountSmallBlocks();
if (why !== undefined) console.warn(`tests of full disks with small blocks are skipped: ${why}`);

// SQLite writes one byte into each page of the memory that its processes share; the page's other blocks are holes, and
// on a full disk the processor's first write into a hole ends the process (SIGBUS).
describe.skipIf(why !== undefined)("on a full disk with blocks of 1 KiB", { timeout: 120_000 }, () => {
  const context = join(folder.path, "context");
  const build = (...args: string[]): Outcome =>
    kiln(store, ["build", "--progress", "plain", "-t", "app", ...args, context]);

  beforeAll(() => {
    importBusybox(store, folder.path);
    writeContext(context, { Dockerfile: "FROM busybox\nCOPY big /\n", big: "0123456789abcdef".repeat(1 << 16) });
  });
  afterAll(() => {
    spawnSync("umount", ["-l", mountPoint]);
    folder[Symbol.dispose]();
  });

  afterEach(() => rmSync(filler, { force: true }));

  const filler = join(mountPoint, "filler");

  /** Fills the disk to its last block and frees some space. */
  function fillBut(kilobytes: number): void {
    spawnSync("dd", ["if=/dev/zero", `of=${filler}`, "bs=1k"]);
    truncateSync(filler, Math.max(0, statSync(filler).size - kilobytes * 1024));
    spawnSync("sync", ["-f", mountPoint]);
  }

  /** Leaves the state of a killed process: a log that the next process must read into new shared memory. */
  function leaveLog(): void {
    const script = `
      const database = new (require("node:sqlite").DatabaseSync)(process.argv[1]);
      for (let n = 0; n < 300; n += 1) database.exec("PRAGMA wal_autocheckpoint = 0; CREATE TABLE filler (a); DROP TABLE filler");
      process.kill(process.pid, "SIGKILL");`;
    spawnSync(process.execPath, ["--no-warnings", "-e", script, join(store, "kiln.db")]);
    rmSync(join(store, "kiln.db-shm"));
  }

  test.each([0, 4, 12, 16, 24, 32])("with %d KiB left every command answers, and prune makes space", (kilobytes) => {
    expect(build().status).toBe(0);
    mustKiln(store, ["rmi", "app"]);
    leaveLog();
    fillBut(kilobytes);
    for (const args of [["images"], ["du"], ["why"], ["images"]]) {
      expect(kiln(store, args)).toMatchObject({ status: 0, stderr: "" });
    }
    const { status, stderr } = build("--no-cache");
    expect(status === 0 || stderr.includes("error[store/full]") ? "told in words" : stderr).toBe("told in words");
    expect(kiln(store, ["prune", "--all"])).toMatchObject({ status: 0, stderr: "" });
    rmSync(filler);
    expect(kiln(store, ["fsck"]).stdout).toContain(" 0 problems");
  });

  test("a RUN that fills the disk is told in words", () => {
    writeContext(context, { Dockerfile: "FROM busybox\nRUN cat /dev/zero > /big 2>/dev/null || exit 3\n" });
    const failed = build();
    expect(failed.stderr).toContain("error[store/full]");
    expect(failed.status).toBe(1);
    expect(kiln(store, ["fsck"]).stdout).toContain(" 0 problems");
  });
});
