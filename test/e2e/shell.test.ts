import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { busyboxRoot, kiln, missing, mustKiln, temporary } from "./harness.ts";

const why = missing("busybox");
if (why !== undefined) console.warn(`the tests of failed steps are skipped: ${why}`);

describe.skipIf(why !== undefined)("a failed step", { timeout: 120_000 }, () => {
  const folder = temporary();
  const store = join(folder.path, "store");
  const context = join(folder.path, "context");

  beforeAll(() => {
    mustKiln(store, ["import", busyboxRoot(folder.path), "base"]);
    mkdirSync(context);
    writeFileSync(join(context, "f"), "from the context\n");
  });
  afterAll(() => folder[Symbol.dispose]());

  function fail(lines: readonly string[], ...flags: string[]): string {
    writeFileSync(join(context, "Dockerfile"), ["FROM base", ...lines].join("\n"));
    const { status, stderr } = kiln(store, ["build", "--progress", "plain", ...flags, context]);
    expect(status).toBe(1);
    return stderr;
  }

  const shell = (script: string, ...args: string[]) => kiln(store, ["shell", ...args], { input: script });

  test("kiln shell stands where it failed: files, user, directory, environment, mounts, network", () => {
    const stderr = fail([
      "ENV A=b",
      "WORKDIR /w",
      "RUN chown 1234 /w",
      "USER 1234:55",
      "RUN --network=none --mount=type=bind,target=/ctx --mount=type=cache,target=/c,uid=1234 echo half > done; echo kept > /c/x; exit 7",
    ]);
    expect(stderr).toMatch(/hint: "kiln shell \w+" opens a shell where it failed/);
    const script =
      "echo $(id -u):$(id -g) $PWD $(cat done) $A $(cat /ctx/f) $(cat /c/x) $(ls /sys/class/net); echo x > new; exit 5";
    for (const time of ["once", "and again, without what the first one wrote"]) {
      const { status, stdout, stderr: said } = shell(`ls new; ${script}`);
      expect({ time, status, stdout }).toEqual({
        time,
        status: 5,
        stdout: "1234:55 /w half b from the context kept lo\n",
      });
      expect(said).toContain("which ended with 7");
    }
  });

  test("a step is named by its id, and a command may be given", () => {
    const id = /"kiln shell (\w+)"/.exec(fail(["RUN echo one > /one; exit 1"]))?.[1] ?? "";
    fail(["RUN echo two > /two; exit 1"]);
    expect(kiln(store, ["shell", id, "cat", "/one"]).stdout).toBe("one\n");
    expect(shell("cat /two").stdout).toBe("two\n");
    expect(kiln(store, ["shell", "nonsense"]).stderr).toContain("no failed step is");
  });

  test("secrets are not kept: they are given again or absent", () => {
    const flag = ["--secret", `id=s,src=${join(context, "f")}`];
    fail(["RUN --mount=type=secret,id=s,required=true exit 1"], ...flag);
    expect(shell("ls /run/secrets/s").status).not.toBe(0);
    expect(kiln(store, ["shell", ...flag], { input: "cat /run/secrets/s" }).stdout).toBe("from the context\n");
  });

  test("the last three are kept, and kiln prune takes their files", () => {
    const count = (): number => readdirSync(join(store, "snapshots")).length;
    for (let number = 0; number < 4; number += 1) fail([`RUN echo ${number} > /n; exit 1`]);
    const before = count();
    fail(["RUN echo last > /n; exit 1"]);
    expect(count()).toBe(before);
    mustKiln(store, ["prune", "--all", "--force"]);
    expect(count()).toBeLessThan(before);
    expect(shell("true").stderr).toMatch(/no step has failed here|its directory is gone/);
  });

  test("--on-error=shell opens it at once on a terminal, and the build still fails", () => {
    writeFileSync(join(context, "Dockerfile"), "FROM base\nRUN echo now > /n; exit 3\n");
    const launcher = join(import.meta.dirname, "../../bin/kiln");
    const line = `KILN_ROOT=${store} ${launcher} build --on-error=shell ${context}`;
    const { status, stdout } = spawnSync("script", ["-qec", line, "/dev/null"], {
      input: "cat /n; exit\n",
      encoding: "utf8",
      timeout: 60_000,
    });
    expect(status).toBe(1);
    expect(stdout).toMatch(/^now\r$/m);
    expect(stdout).toContain("exit code: 3");
  });
});
