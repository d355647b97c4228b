import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { importBusybox, noBusybox, writeFiles } from "../../test/support/busybox.ts";
import { cannotRun, testEnvironment } from "../../test/support/environment.ts";
import type { ProgressEvent } from "../../lib/core/progress.ts";
import { parseOutput } from "../export/parse-output.ts";
import { build } from "./build.ts";

const skip = cannotRun ?? noBusybox;
if (skip !== undefined) console.warn(`skipped: builds after a restart: ${skip}`);

const HOUR_MS = 3_600_000;

describe.skipIf(skip !== undefined)("a build after the machine was restarted", () => {
  let home = "";
  let store = "";
  let context = "";
  const signal = new AbortController().signal;

  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), "kiln-restart-"));
    store = join(home, "store");
    context = join(home, "context");
    await importBusybox(testEnvironment(store, { nowMs: () => Date.now() - HOUR_MS }));
    await mkdir(context);
    await writeFiles(context, { Dockerfile: "FROM busybox\nRUN echo whole > /made\n" });
  });
  afterEach(() => rm(home, { recursive: true, force: true }));

  async function run(bootId: string, ageMs = 0): Promise<{ made: string; events: readonly ProgressEvent[] }> {
    const events: ProgressEvent[] = [];
    const dest = await mkdtemp(join(home, "out-"));
    const outputs = [parseOutput(new Map(Object.entries({ type: "local", dest })))];
    const options = { context, tags: ["app"], progress: (event: ProgressEvent) => events.push(event) };
    const environment = testEnvironment(store, { bootId: () => bootId, nowMs: () => Date.now() - ageMs });
    await build(options, environment, signal);
    await build({ ...options, outputs }, environment, signal);
    return { made: await readFile(join(dest, "made"), "utf8"), events };
  }

  /** Damages a file as if its name had reached the disk before its bytes. */
  async function emptyTheStepsFile(): Promise<void> {
    for (const snapshot of await readdir(join(store, "snapshots"))) {
      const file = join(store, "snapshots", snapshot, "made");
      if ((await stat(file).catch(() => undefined)) !== undefined) await writeFile(file, "");
    }
  }

  const notices = (events: readonly ProgressEvent[]): string[] =>
    events.flatMap((event) => (event.kind === "notice" && event.level === "warning" ? [event.message] : []));
  const ran = (events: readonly ProgressEvent[]): boolean =>
    events.some((event) => event.kind === "step-started" && event.name.includes("RUN echo whole"));

  test("makes a step again after its files did not reach the disk", async () => {
    await run("before");
    await emptyTheStepsFile();
    const after = await run("after");
    expect(after.made).toBe("whole\n");
    expect(notices(after.events)).toEqual([expect.stringContaining("1 of the last things it wrote")]);
    const again = await run("after");
    expect(notices(again.events)).toEqual([]);
    expect(ran(again.events)).toBe(false);
  });

  test("uses what is whole, and says nothing", async () => {
    await run("before");
    const after = await run("after");
    expect(notices(after.events)).toEqual([]);
    expect(ran(after.events)).toBe(false);
  });

  test("does not read what was written long before the last use", async () => {
    await run("before", HOUR_MS);
    await run("before");
    await emptyTheStepsFile();
    const after = await run("after");
    expect(ran(after.events)).toBe(false);
  });
});
