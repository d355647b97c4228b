import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { encodePlan, PlanWriter } from "./plan-writer.ts";
import { cannotRun, RUNTIME_PATH, Sandbox } from "./testing.ts";
import { Workers } from "./workers.ts";

const reason = cannotRun();
if (reason !== undefined) console.warn(`skipping the tests of workers: ${reason}`);

describe.skipIf(reason !== undefined)("processes that run steps", () => {
  let box: Sandbox;
  beforeEach(() => {
    box = new Sandbox();
  });
  afterEach(() => box[Symbol.dispose]());

  /** Children of this process that serve steps. */
  const workers = (): string[] =>
    readdirSync("/proc").filter((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, "utf8");
        const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
        return parent === process.pid && readFileSync(`/proc/${name}/cmdline`, "latin1").includes("serve");
      } catch {
        return false; // no process, or one that ended while we looked
      }
    });

  test("steps one after the other share one, steps at one time do not, and all end with the runtime", async () => {
    for (const word of ["one", "two", "three"]) {
      // oxlint-disable-next-line no-await-in-loop
      expect((await box.sh(`echo ${word}`)).stdout).toBe(`${word}\n`);
    }
    expect(workers()).toHaveLength(1);
    const both = await Promise.all([box.sh("sleep 0.1; echo a"), box.sh("sleep 0.1; echo b")]);
    expect(both.map(({ stdout }) => stdout)).toEqual(["a\n", "b\n"]);
    expect(workers()).toHaveLength(2);
    box.runtime[Symbol.dispose]();
    await expect.poll(workers, { interval: 10 }).toEqual([]);
  });

  test("a step that fails or is killed leaves the next one a working process", async () => {
    const broken = box.run({ mounts: [{ kind: "bind", hostPath: "/no/such/path", target: "/x", mode: "ro" }] });
    await expect(broken).rejects.toThrow(/cannot open \/no\/such\/path/);
    expect((await box.sh("echo after")).stdout).toBe("after\n");
    const stop = new AbortController();
    const stopped = box.run(
      {
        argv: ["/bin/sh", "-c", "echo up; sleep 100"],
        stdio: { kind: "pipes", onOutput: () => stop.abort(new Error("enough")) },
      },
      stop.signal,
    );
    await expect(stopped).rejects.toThrow("enough");
    expect((await box.sh("echo again")).stdout).toBe("again\n");
    expect(workers()).toHaveLength(1);
  });

  test("a step that is stopped while it ends does not take the next one with it", async () => {
    for (let round = 0; round < 20; round++) {
      const stop = new AbortController();
      const running = box.run(
        {
          stdio: { kind: "pipes", onOutput: () => setImmediate(() => stop.abort(new Error("late"))) },
          argv: ["/bin/echo", "x"],
        },
        stop.signal,
      );
      // oxlint-disable-next-line no-await-in-loop
      await running.catch((error: unknown) => expect(error).toMatchObject({ message: "late" }));
      stop.abort();
      // oxlint-disable-next-line no-await-in-loop
      expect((await box.sh(`echo ${round}`)).stdout).toBe(`${round}\n`);
    }
  });

  test("nothing is told of a step that could not be started after its end", async () => {
    // Both the supervisor and the process that pretends owners fail, and neither waits for the other.
    const { directives } = new PlanWriter()
      .add("scratch", box.directory)
      .add("pretend-owners", "/no/such/directory")
      .add("cgroup-v2", "/no/such/cgroup")
      .add("tree-directory", "/", 0)
      .add("root")
      .add("cwd", "/")
      .add("arg", "/bin/true");
    const plan = encodePlan(directives);
    using own = new Workers(RUNTIME_PATH);
    const run = async (): Promise<void> => {
      const report = await own.run(plan, () => undefined, new AbortController().signal);
      expect(report).toMatchObject({
        kind: "failure",
        text: expect.stringMatching(/cannot open .*\/no\/such/) as string,
      });
    };
    // Many at one time, for the two to be scheduled in every order.
    for (let round = 0; round < 30; round++) {
      // oxlint-disable-next-line no-await-in-loop
      await Promise.all(Array.from({ length: 16 }, run));
    }
  });

  test("a step fails when its process is killed from outside, and the next one runs", async () => {
    const killed = box.sh("echo up; sleep 100", {
      stdio: { kind: "pipes", onOutput: () => workers().forEach((pid) => process.kill(Number(pid), "SIGKILL")) },
    });
    await expect(killed).rejects.toMatchObject({
      code: "runtime/failed",
      message: expect.stringContaining("SIGKILL") as string,
    });
    expect((await box.sh("echo next")).stdout).toBe("next\n");
  });

  test("what one step was given is not in the memory of the next, nor of the process that waits", async () => {
    await box.sh("true", {
      mounts: [
        {
          kind: "secret",
          target: "/s",
          data: Buffer.from("secret-of-one-step"),
          permissions: 0o400,
          uid: 0,
          gid: 0,
        },
      ],
    });
    const [pid] = workers();
    const count = (word: string): string =>
      execFileSync("sh", [
        "-c",
        `grep ' rw' /proc/${pid}/maps | cut -d' ' -f1 | while IFS=- read -r a b; do [ $((0x$b - 0x$a)) -gt 8388608 ] || dd if=/proc/${pid}/mem bs=4096 skip=$((0x$a / 4096)) count=$(((0x$b - 0x$a) / 4096)) 2>/dev/null; done | tr '\\0' '\\n' | grep -ac '${word}' || true`,
      ])
        .toString()
        .trim();
    // Regions that could hold a plan; a sanitizer's have terabytes. Its own arguments are on its stack, so we do see its memory.
    expect(count("serve-sealed")).not.toBe("0");
    expect(count("secret-of-one-step")).toBe("0");
  });
});
