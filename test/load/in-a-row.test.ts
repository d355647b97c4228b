import { describe, expect, test } from "vitest";
import { kiln, missing, mustKiln } from "../e2e/harness.ts";
import { useFreshStore } from "../robust/fresh-store.ts";
import { writeContext } from "../robust/kiln-process.ts";
import { startScript } from "../support/script.ts";
import { inodesOf, remainsOf } from "./remains.ts";
import { isWhole, SIZES } from "./sizes.ts";

const why = missing("busybox");
if (why !== undefined) console.warn(`tests of builds in a row are skipped: ${why}`);

const { inARow } = SIZES;

/** Counts of a process that builds, taken when its garbage is collected. */
interface Counts {
  readonly build: number;
  readonly descriptors: number;
  readonly heapBytes: number;
  readonly residentBytes: number;
  readonly children: number;
  readonly listeners: number;
}

/**
 * Builds again and again in one process, as a watcher or a server does: two times of three from the cache, and now and
 * then a failure or a cancellation.
 */
const SCRIPT = (store: string, context: string): string => `
  import { readdirSync, writeFileSync } from "node:fs";
  import { setFlagsFromString } from "node:v8";
  import { runInNewContext } from "node:vm";
  import { build } from "ROOT/src/index.ts";
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc");
  const [root, context, total] = ${JSON.stringify([store, context, inARow])};
  const count = (number) => {
    collect();
    const { heapUsed, rss } = process.memoryUsage();
    console.log(JSON.stringify({
      build: number,
      descriptors: readdirSync("/proc/self/fd").length,
      heapBytes: heapUsed,
      residentBytes: rss,
      children: process.getActiveResourcesInfo().filter((name) => name === "ProcessWrap").length,
      listeners: ["exit", "SIGINT", "SIGTERM", "warning"].reduce((sum, name) => sum + process.listenerCount(name), 0),
    }));
  };
  for (let number = 1; number <= total; number += 1) {
    if (number % 3 === 0) writeFileSync(context + "/changing", "change " + number);
    const stop = new AbortController();
    const kind = number % 20 === 7 ? "failing" : number % 20 === 13 ? "cancelled" : "good";
    const options = { root, context, tags: ["app"], signal: stop.signal, buildArgs: { KIND: kind } };
    if (kind === "cancelled") options.onProgress = (event) => event.kind === "log" && stop.abort();
    const outcome = await build({ ...options, noCache: kind === "cancelled" }).then(() => "good", (error) => error.code);
    const expected = { good: "good", failing: "solver/exec-failed", cancelled: "build/cancelled" }[kind];
    if (outcome !== expected) throw new Error("build " + number + " (" + kind + ") ended as " + outcome);
    if (number === Math.ceil(total / 4) || number === Math.ceil(total / 2) || number === total) count(number);
  }
`;

describe.skipIf(why !== undefined)("builds in a row", { timeout: 60_000 + inARow * 1000 }, () => {
  let store: string;
  let context: string;
  useFreshStore((fresh) => ({ store, context } = fresh));

  test(`${inARow} in one process leave no descriptor, memory, mount, process, listener or file behind`, async () => {
    writeContext(context, {
      Dockerfile: [
        "FROM busybox AS one",
        "ARG KIND",
        "COPY changing /",
        'RUN echo $KIND; case "$KIND" in failing) exit 3;; cancelled) sleep 100;; esac; cat /changing > /made',
        "FROM busybox",
        "COPY --from=one /made /",
        "",
      ].join("\n"),
      changing: "first\n",
    });
    await using script = startScript(SCRIPT(store, context));
    const counts: Counts[] = [];
    for (let n = 0; n < 3; n += 1) {
      // oxlint-disable-next-line no-await-in-loop
      const line = await script.line();
      if (isWhole) console.log(line);
      counts.push(JSON.parse(line) as Counts);
    }
    expect(await script.ended()).toBe(0);
    const [early, middle, late] = counts;
    if (early === undefined || middle === undefined || late === undefined) throw new Error("counts are missing");
    expect(late.descriptors).toBe(early.descriptors);
    expect(late.children).toBe(early.children);
    expect(late.listeners).toBe(early.listeners);
    // Caches of the engine's end with each build: what grows with the number of builds is a leak.
    const grown = late.heapBytes - middle.heapBytes;
    expect(grown, JSON.stringify(counts)).toBeLessThan(3_000_000 + 2000 * (late.build - middle.build));
    expect(late.residentBytes, JSON.stringify(counts)).toBeLessThan(500_000_000);

    expect(remainsOf(store, [script.child.pid ?? 0])).toEqual([]);
    mustKiln(store, ["prune", "--all"]);
    expect(kiln(store, ["fsck"]).stdout).toContain("0 problems, 0 files that nothing names");
    const pruned = inodesOf(store);
    mustKiln(store, ["build", "-q", "-t", "app", context]);
    mustKiln(store, ["prune", "--all"]);
    // A store that saw thousands of builds is as large as after one more.
    expect(Math.abs(inodesOf(store) - pruned)).toBeLessThan(20);
  });
});
