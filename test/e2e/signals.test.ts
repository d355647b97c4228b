import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PROJECT, busyboxRoot, missing, mustKiln, temporary } from "./harness.ts";

const why = missing("busybox");
if (why !== undefined) console.warn(`the tests of signals are skipped: ${why}`);

/**
 * Two concurrent steps that would sleep for ever, with children of their own. One of them ignores every signal that can
 * be ignored.
 */
const DOCKERFILE = `FROM base AS one
RUN trap '' INT TERM; sleep 98765 & echo up >&2; wait; wait; wait
FROM base AS two
RUN setsid sleep 98765 & setsid sleep 98765; echo up
FROM base
COPY --from=one / /1
COPY --from=two / /2
`;

const STATUS = { SIGINT: 130, SIGTERM: 143, SIGKILL: null } as const;

/** Lists processes of the steps on this machine, except zombies. */
function sleepers(): string[] {
  return readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "latin1").includes("sleep\u000098765");
    } catch {
      return false; // the process has just ended
    }
  });
}

describe.skipIf(why !== undefined)("a build that is stopped", { timeout: 60_000 }, () => {
  const folder = temporary();
  const store = join(folder.path, "store");
  const context = join(folder.path, "context");

  beforeAll(() => {
    mustKiln(store, ["import", busyboxRoot(folder.path), "base"]);
    mkdirSync(context);
    writeFileSync(join(context, "Dockerfile"), DOCKERFILE);
  });
  afterAll(() => folder[Symbol.dispose]());

  async function until(isTrue: () => boolean): Promise<void> {
    // The processes are not our children: poll until they exist, or are gone.
    for (let attempt = 0; attempt < 400 && !isTrue(); attempt += 1) await pause(25);
    expect(isTrue()).toBe(true);
  }

  test.each(["SIGINT", "SIGTERM", "SIGKILL"] as const)("%s ends every process of every step", async (name) => {
    const child = spawn(join(PROJECT, "bin/kiln"), ["--root", store, "build", "--progress", "plain", context], {
      stdio: "ignore",
    });
    const ended = once(child, "exit");
    await until(() => sleepers().length >= 3);
    child.kill(name);
    const [status] = (await ended) as [number | null];
    // kiln itself waits for the steps. When kiln is killed, the kernel ends them and nothing waits.
    if (name === "SIGKILL") await until(() => sleepers().length === 0);
    expect({ status, left: sleepers() }).toEqual({ status: STATUS[name], left: [] });
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(folder.path);
    const unfinished = readdirSync(join(store, "snapshots")).filter((entry) => entry.startsWith("active-"));
    if (name !== "SIGKILL") expect(unfinished).toEqual([]);
  });

  test("what a killed build left is removed by the next prune", () => {
    mustKiln(store, ["prune", "--force"]);
    expect(readdirSync(join(store, "snapshots")).filter((entry) => entry.startsWith("active-"))).toEqual([]);
  });
});

describe("a program that waits for a pipe", { timeout: 60_000 }, () => {
  const folder = temporary();
  const pipe = join(folder.path, "pipe");
  const out = join(folder.path, "out");

  beforeAll(() => {
    execFileSync("mkfifo", [pipe, out]);
    writeFileSync(join(folder.path, "Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n");
  });
  afterAll(() => folder[Symbol.dispose]());

  test.each([
    [["build", "-f", pipe, "."]],
    [["build", "--ssh", `default=${pipe}`, "."]],
    [["build", "--cache-trust", pipe, "."]],
    [["load", "-i", pipe]],
    [["import", pipe, "a"]],
    [["build", "--iidfile", out, "."]],
    [["build", "-o", `type=tar,dest=${out}`, "."]],
  ])("%j ends at SIGINT", async (args) => {
    const child = spawn(join(PROJECT, "bin/kiln"), ["--root", join(folder.path, "store"), ...args], {
      cwd: folder.path,
      stdio: ["ignore", "ignore", "pipe"],
    });
    const closed = once(child, "close");
    let said = "";
    child.stderr.on("data", (text: Buffer) => void (said += String(text)));
    // It waits for ever: after this time it has probably come so far, and too short a time fails nothing.
    await pause(1500);
    child.kill("SIGINT");
    expect([(await closed)[0], said]).toEqual([130, expect.stringContaining("Cancelled by SIGINT")]);
  });
});
