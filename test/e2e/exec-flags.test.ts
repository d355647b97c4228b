import { spawnSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Outcome, busyboxRoot, kiln, missing, mustKiln, temporary } from "./harness.ts";

const why = missing("busybox");
if (why !== undefined) console.warn(`the tests of the flags of RUN are skipped: ${why}`);
/** Limits need a controller that can have a group. */
const hasMemory = /cgroup .*\bmemory\b/.test(readFileSync("/proc/self/mountinfo", "utf8"));
if (!hasMemory) console.warn("the test of memory limits is skipped: no memory controller of cgroup v1 is mounted");

describe.skipIf(why !== undefined)("flags of the build reach RUN", { timeout: 60_000 }, () => {
  const folder = temporary();
  const store = join(folder.path, "store");
  const context = join(folder.path, "context");

  beforeAll(() => {
    mustKiln(store, ["import", busyboxRoot(folder.path), "base"]);
    mkdirSync(context);
  });
  afterAll(() => folder[Symbol.dispose]());

  function run(line: string, ...flags: string[]): Outcome {
    writeFileSync(join(context, "Dockerfile"), `FROM base\n${line}\n`);
    return kiln(store, ["build", "--no-cache", "--progress", "plain", ...flags, context]);
  }

  test.each([
    {
      name: "--ulimit",
      flags: ["--ulimit", "nofile=123:456"],
      line: 'RUN test "$(ulimit -Sn) $(ulimit -Hn)" = "123 456"',
    },
    {
      name: "--shm-size 0, which is the usual size",
      flags: ["--shm-size", "0"],
      line: "RUN df -k /dev/shm | grep -q ' 65536 '",
    },
    { name: "--shm-size", flags: ["--shm-size", "3m"], line: "RUN df -k /dev/shm | grep -q ' 3072 '" },
    {
      name: "--add-host",
      flags: ["--add-host", "build.test:10.1.2.3", "--add-host", "six.test=[::7]"],
      line: "RUN grep -q '10.1.2.3.build.test' /etc/hosts && grep -q '::7.six.test' /etc/hosts",
    },
    {
      name: "--add-host, one name several times",
      flags: ["--add-host", "b.test=10.0.0.2", "--add-host", "c.test=10.0.0.9", "--add-host", "b.test=10.0.0.1"],
      line: `RUN test "$(grep -o '^10.*' /etc/hosts | tr '\\t\\n' '  ')" = "10.0.0.2 b.test 10.0.0.9 c.test 10.0.0.1 b.test "`,
    },
    {
      name: "--network=none",
      flags: ["--network", "none"],
      line: 'RUN test "$(ls /sys/class/net)" = lo && ping -c1 127.0.0.1',
    },
    { name: "--network=host", flags: ["--network", "host"], line: "RUN test -e /proc/net/dev" },
    {
      name: "--allow with --security=insecure",
      flags: ["--allow", "security.insecure"],
      line: "RUN --security=insecure mount -t tmpfs t /tmp && test -w /proc/sys/kernel/hostname",
    },
    {
      name: "--allow with --network=host",
      flags: ["--allow", "network.host"],
      line: "RUN --network=host test -e /proc/net/dev",
    },
  ])("$name", ({ flags, line }) => {
    const { status, stderr } = run(line, ...flags);
    expect(stderr).not.toContain("ERROR");
    expect(status).toBe(0);
  });

  test("--ssh with a key file", () => {
    const key = join(folder.path, "key.pem");
    const { privateKey } = generateKeyPairSync("ed25519");
    writeFileSync(key, privateKey.export({ format: "pem", type: "pkcs8" }), { mode: 0o600 });
    const { status, stderr } = run(
      "RUN --mount=type=ssh,required=true test -S $SSH_AUTH_SOCK",
      "--ssh",
      `default=${key}`,
    );
    expect(stderr).not.toContain("ERROR");
    expect(status).toBe(0);
  });

  test.each([
    { name: "--security=insecure", line: "RUN --security=insecure true", says: "security.insecure is not allowed" },
    { name: "--network=host", line: "RUN --network=host true", says: "network.host is not allowed" },
  ])("$name without --allow is refused", ({ line, says }) => {
    const { status, stderr } = run(line);
    expect(stderr).toContain(says);
    expect(status).toBe(1);
  });

  test("a trigger of a base needs --allow too, and each time, also of a base that a named context brings", () => {
    writeFileSync(join(context, "Trigger"), "FROM base\nONBUILD RUN --network=host echo host > /f\n");
    mustKiln(store, ["build", "-t", "trigger", "-f", join(context, "Trigger"), context]);
    const allowed = ["--allow", "network.host"];
    const named = ["--build-context", "other=docker-image://trigger"];
    for (const { from, flags } of [
      { from: "trigger", flags: [] },
      { from: "other", flags: named },
    ]) {
      writeFileSync(join(context, "Dockerfile"), `FROM ${from}\nRUN test -e /f\n`);
      const again = ["build", ...flags, context];
      expect(kiln(store, again)).toMatchObject({ status: 1 });
      mustKiln(store, [...again, ...allowed]);
      const { status, stderr } = kiln(store, again);
      expect({ status, stderr: stderr.includes("network.host is not allowed") }).toEqual({ status: 1, stderr: true });
    }
    // A stage that is not needed asks for nothing.
    writeFileSync(join(context, "Dockerfile"), "FROM trigger AS a\nFROM base\nRUN true\n");
    mustKiln(store, ["build", context]);
  });

  test.skipIf(!hasMemory)("a step over its memory limit is told apart from one that fails", () => {
    const { status, stderr } = run("RUN head -c 200000000 /dev/zero | tail", "--memory", "32m");
    expect(status).toBe(1);
    expect(stderr).toContain("cannot allocate memory");
    expect(stderr).toContain("raise --memory");
    expect(run("RUN head -c 1000000 /dev/zero | tail", "--resource", "memory=64m").status).toBe(0);
  });

  test.skipIf(!hasMemory)("--cgroup-parent is where the step's group is made, and no group is left", () => {
    const { status, stderr } = run(
      "RUN grep memory /proc/1/cgroup; cat /proc/self/cgroup",
      "--cgroup-parent",
      "/kiln-e2e/x",
      "--memory",
      "64m",
    );
    expect({ status, stderr }).toMatchObject({ status: 0 });
    const left = spawnSync("find", ["/sys/fs/cgroup", "-path", "*kiln-e2e/x/*", "-type", "d"], {
      encoding: "utf8",
    }).stdout;
    expect(left).toBe("");
    spawnSync("find", ["/sys/fs/cgroup", "-depth", "-path", "*kiln-e2e*", "-type", "d", "-exec", "rmdir", "{}", ";"]);
  });
});
