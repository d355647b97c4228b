import { describe, expect, test } from "vitest";
import { kiln, missing, mustKiln } from "../e2e/harness.ts";
import { useFreshStore } from "./fresh-store.ts";
import { counted, executions, letGo, startKiln, writeContext } from "./kiln-process.ts";

const why = missing("busybox");
if (why !== undefined) console.warn(`tests of many builds on one store are skipped: ${why}`);

// Real processes that share nothing but the store.
describe.skipIf(why !== undefined)("builds on one store", { timeout: 300_000 }, () => {
  let store: string;
  let context: string;
  useFreshStore((fresh) => ({ store, context } = fresh));

  test("forty started together all succeed and run each step once", async () => {
    writeContext(context, {
      Dockerfile: [
        "FROM busybox AS left",
        "COPY a.txt /",
        counted("left-1", "sleep 0.3; cat /a.txt > /left"),
        counted("left-2", "echo more >> /left"),
        "FROM busybox AS right",
        counted("right-1", "sleep 0.2; echo right > /right"),
        "FROM busybox",
        "COPY --from=left /left /",
        "COPY --from=right /right /",
        counted("last", "cat /left /right > /both"),
        "",
      ].join("\n"),
      "a.txt": "a\n",
    });
    const builds = Array.from({ length: 40 }, (_, n) =>
      startKiln(store, ["build", "--progress", "plain", "-t", `app:${n}`, context]),
    );
    const outcomes = await Promise.all(builds.map((build) => build.ended));
    expect(outcomes.filter(({ status }) => status !== 0).map(({ stderr }) => stderr)).toEqual([]);
    expect(executions(store)).toEqual(["last", "left-1", "left-2", "right-1"]);
    expect(mustKiln(store, ["run", "app:39", "cat", "/both"]).stdout).toBe("a\nmore\nright\n");
    const checked = kiln(store, ["fsck"]);
    expect(checked.stdout).toContain(" 0 problems");
    expect(checked.status).toBe(0);
  });

  test("cancelling one of two that share a step leaves the other's alone", async () => {
    writeContext(context, {
      // The first execution never ends by itself, so it is still running when it is stopped. The quotes keep the
      // displayed instruction from being mistaken for its output.
      Dockerfile: `FROM busybox\n${counted("slow", "echo be''gun; [ $(wc -l < /runs/runs) -gt 1 ] || sleep 600; echo done > /out")}\n`,
    });
    const args = ["build", "--progress", "plain", context];
    const first = startKiln(store, [...args, "-t", "first"]);
    await first.said("begun");
    const second = startKiln(store, [...args, "-t", "second"]);
    await second.said("Waiting for another build");
    first.child.kill("SIGINT");
    expect((await first.ended).status).not.toBe(0);
    const { status, stderr } = await second.ended;
    expect(stderr).not.toMatch(/ERROR/);
    expect(status).toBe(0);
    // The first build's result was discarded half done, so the second ran it again.
    expect(executions(store)).toEqual(["slow", "slow"]);
    expect(mustKiln(store, ["run", "second", "cat", "/out"]).stdout).toBe("done\n");
  });

  test("cancelling the one that waits does not disturb the one that works", async () => {
    writeContext(context, {
      Dockerfile: `FROM busybox\n${counted("slow", "echo be''gun; until [ -e /runs/go ]; do sleep 0.05; done; echo done > /out")}\n`,
    });
    const args = ["build", "--progress", "plain", context];
    const first = startKiln(store, [...args, "-t", "first"]);
    await first.said("begun");
    const second = startKiln(store, [...args, "-t", "second"]);
    await second.said("Waiting for another build");
    second.child.kill("SIGINT");
    expect((await second.ended).status).not.toBe(0);
    letGo(store);
    expect((await first.ended).status).toBe(0);
    expect(executions(store)).toEqual(["slow"]);
  });
});
