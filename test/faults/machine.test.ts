import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { kiln, missing, mustKiln, type Outcome, PROJECT, temporary } from "../e2e/harness.ts";
import { importBusybox, writeContext } from "../robust/kiln-process.ts";

const why = missing("busybox");
if (why !== undefined) console.warn(`tests of a machine that refuses are skipped: ${why}`);

// A machine that refuses files, processes, memory or writes: the error names what was refused and what to do, the store
// stays whole, and the same build succeeds as soon as it is refused no longer.
describe.skipIf(why !== undefined)("a machine that refuses", { timeout: 120_000 }, () => {
  const folder = temporary();
  const store = join(folder.path, "store");
  const context = join(folder.path, "context");
  const args = ["--root", store, "build", "--progress", "plain", "--no-cache", "-t", "app", context];
  const inShell = (script: string, more: readonly string[] = []): Outcome => {
    const command = ["-c", script, "sh", join(PROJECT, "bin/kiln"), ...(more.length > 0 ? more : args)];
    const run = spawnSync("sh", command, { encoding: "utf8", timeout: 60_000, killSignal: "SIGKILL" });
    return { status: run.status ?? 255, stdout: run.stdout, stderr: run.stderr };
  };

  beforeAll(() => {
    importBusybox(store, folder.path);
    writeContext(context, {
      Dockerfile: [
        "FROM busybox AS one",
        "COPY many /many/",
        "RUN cat /many/* > /all",
        "FROM busybox AS two",
        "RUN cp -r /bin /bin2",
        "FROM busybox",
        "COPY --from=one /all /",
        "COPY --from=two /bin2 /bin2",
        "RUN wc -l < /all",
        "",
      ].join("\n"),
      ...Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`many/${n}`, `${n}\n`])),
    });
    mustKiln(store, ["build", "-q", "-t", "app", context]);
  });
  afterAll(() => folder[Symbol.dispose]());

  /** Checks that the store is whole and that nothing hinders the build any more. */
  function isWhole(): void {
    expect(kiln(store, ["fsck"])).toMatchObject({ status: 0, stdout: expect.stringContaining(" 0 problems") });
    expect(kiln(store, ["build", "-q", "-t", "app", context]).status).toBe(0);
    expect(mustKiln(store, ["run", "app", "cat", "/all"]).stdout.split("\n")).toHaveLength(301);
  }

  test.each([26, 30, 32, 36, 40])("%i open files are few, or enough", (limit) => {
    const { status, stderr } = inShell(`ulimit -n ${limit}; exec "$@"`);
    if (status !== 0) {
      expect(stderr).toMatch(/too many open files|unable to open database file|EMFILE/);
      expect(stderr).toContain("hint: raise the limit on open files");
      expect(stderr).not.toContain("bug in kiln");
    }
    isWhole();
  });

  const pids = groupRoot("pids");
  test.skipIf(pids === undefined).each([12, 16])("%i processes and threads are few, or enough", async (max) => {
    await using group = await limited(pids, `kiln-test-${process.pid}`, { "pids.max": String(max) });
    const { status, stderr } = inShell(`echo $$ > ${group.path}/cgroup.procs; exec "$@"`);
    if (status !== 0) {
      expect(stderr).toMatch(/EAGAIN|Resource temporarily unavailable|cannot (?:start|make)|fork/i);
      expect(stderr).not.toContain("bug in kiln");
    }
    isWhole();
  });

  const memory = groupRoot("memory");
  test.skipIf(memory === undefined).each([30, 40])("%i MB are too little, or enough", async (megabytes) => {
    const file = memory?.version === 2 ? "memory.max" : "memory.limit_in_bytes";
    await using group = await limited(memory, `kiln-test-${process.pid}`, { [file]: String(megabytes * 1_000_000) });
    // Too little memory kills without a word.
    const { stderr } = inShell(`echo $$ > ${group.path}/cgroup.procs; exec "$@"`);
    expect(stderr).not.toContain("bug in kiln");
    isWhole();
  });

  test.each(["build", "images", "pull"])("a store on a read-only disk is named by %s", (command) => {
    const more = { build: [context], pull: ["localhost:1/none"] }[command] ?? [];
    const { status, stderr } = inShell(
      `exec unshare -m sh -c 'mount --bind ${store} ${store} && mount -o remount,ro,bind ${store} && exec "$@"' sh "$@"`,
      ["--root", store, command, ...more],
    );
    expect(status).toBe(1);
    expect(stderr).toMatch(/error\[store\/unusable\]: Cannot .*read-only file system/);
    expect(stderr).toContain("mounted read-only");
    isWhole();
  });
});

interface GroupRoot {
  readonly path: string;
  readonly version: 1 | 2;
}

/** Finds where groups with a controller can be made. */
function groupRoot(controller: string): GroupRoot | undefined {
  const one = `/sys/fs/cgroup/${controller}`;
  if (existsSync(join(one, "cgroup.procs"))) return { path: one, version: 1 };
  try {
    const offered = readFileSync("/sys/fs/cgroup/cgroup.subtree_control", "utf8").split(/\s+/);
    return offered.includes(controller) ? { path: "/sys/fs/cgroup", version: 2 } : undefined;
  } catch {
    return undefined;
  }
}

/** Makes a group with limits, removed by `dispose`. */
async function limited(
  root: GroupRoot | undefined,
  name: string,
  limits: Readonly<Record<string, string>>,
): Promise<{ readonly path: string } & AsyncDisposable> {
  if (root === undefined) throw new Error("no such controller");
  const path = join(root.path, name);
  mkdirSync(path, { recursive: true });
  for (const [file, value] of Object.entries(limits)) writeFileSync(join(path, file), value);
  const remove = async (): Promise<void> => {
    // The kernel forgets a group's last process some time after it has ended, and tells nobody.
    for (let attempt = 0; ; attempt += 1) {
      try {
        rmdirSync(path);
        return;
      } catch (error) {
        if (attempt === 100) throw error;
        await pause(20);
      }
    }
  };
  return { path, [Symbol.asyncDispose]: remove };
}
