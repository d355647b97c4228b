import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { SolveOptions, SolverDeps } from "../../deps.ts";
import type { ExecMount, ExecOp } from "../../graph/op.ts";
import type { Vertex } from "../../graph/vertex.ts";
import { createRuntime } from "../../runtime/driver.ts";
import { cannotRun, RUNTIME_PATH } from "../../runtime/testing.ts";
import { copyingSnapshotter } from "../../snapshot/copying.ts";
import { solve } from "../../solve.ts";
import { Workbench } from "../../testing/workbench.ts";
import { execEnvironment } from "./environment.ts";

const never = new AbortController().signal;
const skip = cannotRun();

/** Solves with the real runtime, and returns what the last step wrote to /out and all that was printed. */
async function runIn(
  bench: Workbench,
  target: Vertex,
  over: Partial<SolverDeps> = {},
  options: Partial<SolveOptions> = {},
): Promise<{ readonly out: string; readonly printed: string }> {
  const runtime = createRuntime({
    runtimePath: RUNTIME_PATH,
    scratchDirectory: join(bench.directory, "scratch"),
    overlayMarks: "trusted",
    arch: process.arch,
    instance: `${process.pid}-exec-test`,
    notice: () => undefined,
  });
  bench.events = [];
  using deps = bench.deps({ runtime, ...over });
  const result = await solve(bench.graph(target), deps, bench.options(options), never);
  const top = result.targets[0]?.layers.at(-1)?.snapshot;
  const printed = bench.events.flatMap((event) => (event.kind === "log" ? [event.data] : [])).join("");
  let out = "";
  try {
    out = readFileSync(join(bench.store.layout.snapshots, top ?? "", "out"), "utf8");
  } catch {
    // Not every test writes one.
  }
  return { out, printed };
}

const bind = (over: Partial<Extract<ExecMount, { type: "bind" }>>): ExecMount => ({
  type: "bind",
  target: "/mnt",
  input: 1,
  source: "/",
  mode: "ro",
  ...over,
});

const secret = (over: Partial<Extract<ExecMount, { type: "secret" }>>): ExecMount => ({
  type: "secret",
  id: "token",
  target: "/run/secrets/token",
  env: undefined,
  required: false,
  permissions: 0o400,
  uid: 0,
  gid: 0,
  ...over,
});

const cache = (over: Partial<Extract<ExecMount, { type: "cache" }>> = {}): ExecMount => ({
  type: "cache",
  target: "/cache",
  id: "/cache",
  sharing: "shared",
  seed: undefined,
  mode: "rw",
  permissions: 0o755,
  uid: 0,
  gid: 0,
  ...over,
});

test.skipIf(skip)("a chain of commands sees what the ones before wrote, and output is told and logged", async () => {
  await using bench = new Workbench();
  const one = bench.run(bench.busybox(), "echo one > /first; echo hello; echo oops >&2");
  const { out, printed } = await runIn(bench, bench.run(one, "cat /first > /out; hostname >> /out"));
  expect(out).toBe("one\nbuildkitsandbox\n");
  expect(printed.split("\n").toSorted()).toEqual(["", "hello", "oops"]);
  const usages = bench.events.flatMap((event) => (event.kind === "step-done" && event.usage ? [event.usage] : []));
  expect(usages.length).toBe(2);
  for (const usage of usages) {
    expect(usage.cpuMs).toBeGreaterThan(0);
    expect(usage.peakMemoryBytes).toBeGreaterThan(0);
  }
});

test.skipIf(skip)("the user and the groups come from the tree's own files", async () => {
  await using bench = new Workbench();
  const made = bench.run(bench.busybox(), "touch_out() { : > /out; }; touch_out; busybox chmod 666 /out");
  const { out } = await runIn(
    bench,
    bench.run(made, "id -u > /out; id -G >> /out; echo $HOME >> /out", { op: { user: "app" } }),
  );
  expect(out).toBe("1000\n1001 50\n/home/app\n");
});

test.skipIf(skip)(
  "a bind of the context shows exactly the selected files, and a change of others does not count",
  async () => {
    await using bench = new Workbench();
    bench.file("src/a", "A");
    bench.file("src/hidden", "H");
    bench.file("other", "O");
    const target = (): Vertex =>
      bench.run(bench.busybox(), "ls -A /mnt > /out; cat /mnt/a >> /out", {
        mounts: [bind({ source: "/src" })],
        inputs: [bench.local(["src/hidden"])],
      });
    expect((await runIn(bench, target())).out).toBe("a\nA");
    bench.file("src/hidden", "changed");
    bench.file("other", "changed");
    await runIn(bench, target());
    expect(bench.events.map((event) => event.kind)).toContain("step-cached");
    expect(bench.reasons()).toEqual([]);
  },
);

test.skipIf(skip)("a single file of the context can be bound", async () => {
  await using bench = new Workbench();
  bench.file("src/a", "A");
  const { out } = await runIn(
    bench,
    bench.run(bench.busybox(), "cat /etc/a > /out", {
      mounts: [bind({ source: "/src/a", target: "/etc/a" })],
      inputs: [bench.local()],
    }),
  );
  expect(out).toBe("A");
});

test.skipIf(skip)("what is written into a read-write bind is thrown away", async () => {
  await using bench = new Workbench();
  const stage = bench.run(bench.busybox(), "mkdir /data; echo x > /data/x");
  const options = { mounts: [bind({ source: "/data", mode: "rw" })], inputs: [stage] };
  const first = bench.run(bench.busybox(), "echo y > /mnt/y; ls /mnt > /out", options);
  expect((await runIn(bench, first)).out).toBe("x\ny\n");
  const second = bench.run(first, "ls /mnt > /out", options);
  expect((await runIn(bench, second)).out).toBe("x\n");
});

test.skipIf(skip)("a cache keeps its files from step to step and never enters a layer", async () => {
  await using bench = new Workbench();
  const first = bench.run(bench.busybox(), "echo kept > /cache/file", {
    mounts: [cache({ permissions: 0o700, uid: 5 })],
  });
  const { out } = await runIn(
    bench,
    bench.run(first, "cat /cache/file > /out; stat -c '%a %u' /cache >> /out", {
      mounts: [cache({ permissions: 0o700, uid: 5 })],
    }),
  );
  expect(out).toBe("kept\n700 5\n");
});

test.skipIf(skip)("a cache for another owner, or with another mode, is another one", async () => {
  await using bench = new Workbench();
  const say = "ls /cache >> /out; stat -c '%a %u %g' /cache >> /out; touch /cache/$(wc -l < /out)";
  const roots = bench.run(bench.busybox(), say, { mounts: [cache()] });
  const users = bench.run(roots, say, { mounts: [cache({ uid: 5, gid: 6 })] });
  const others = bench.run(users, say, { mounts: [cache({ permissions: 0o777 })] });
  const { out } = await runIn(bench, bench.run(others, say, { mounts: [cache()] }));
  expect(out).toBe("755 0 0\n755 5 6\n777 0 0\n1\n755 0 0\n");
});

test.skipIf(skip)("a new cache starts from its seed", async () => {
  await using bench = new Workbench();
  const stage = bench.run(bench.busybox(), "mkdir /data; echo seed > /data/file");
  const { out } = await runIn(
    bench,
    bench.run(bench.busybox(), "cat /cache/file > /out", {
      mounts: [cache({ seed: { input: 1, source: "/data" }, sharing: "locked" })],
      inputs: [stage],
    }),
  );
  expect(out).toBe("seed\n");
});

test.skipIf(skip)("a cache that starts from a local directory is another one when that holds other files", async () => {
  await using bench = new Workbench();
  const seen = async (content: string): Promise<string> => {
    bench.file("seed/file", content);
    const mounts = [cache({ seed: { input: 1, source: "seed" } })];
    const inputs = [bench.local()];
    const { out } = await runIn(
      bench,
      bench.run(bench.busybox(), "cat /cache/file > /out; echo more >> /cache/file", { mounts, inputs }),
    );
    return out;
  };
  expect(await seen("one\n")).toBe("one\n");
  expect(await seen("two\n")).toBe("two\n");
});

test.skipIf(skip)("a new cache has owner and mode of its seed, and a cache of a file is a file", async () => {
  await using bench = new Workbench();
  const make =
    "mkdir /data; echo x > /data/file; chmod 640 /data/file; chown 1000:1001 /data /data/file; chmod 2750 /data";
  const stage = bench.run(bench.busybox(), make);
  const { out } = await runIn(
    bench,
    bench.run(bench.busybox(), "stat -c '%a %u %g %F' /cache /one > /out", {
      mounts: [
        cache({ seed: { input: 1, source: "/data" } }),
        cache({ id: "one", target: "/one", seed: { input: 1, source: "/data/file" } }),
      ],
      inputs: [stage],
    }),
  );
  expect(out).toBe("2750 1000 1001 directory\n640 1000 1001 regular file\n");
});

test.skipIf(skip)("a secret is given as it is, or not as a variable", async () => {
  await using bench = new Workbench();
  const values = new Map([
    ["marked", [0xef, 0xbb, 0xbf, 0x78]],
    ["bytes", [0x61, 0xff]],
  ]);
  const secrets = { get: async (id: string) => Uint8Array.from(values.get(id) ?? []) };
  const say = (id: string): ReturnType<Workbench["run"]> =>
    bench.run(bench.busybox(), `[ "$TOKEN" = "$(printf '\\357\\273\\277x')" ] && echo whole > /out`, {
      mounts: [secret({ id, env: "TOKEN" })],
    });
  expect((await runIn(bench, say("marked"), { secrets })).out).toBe("whole\n");
  await expect(runIn(bench, say("bytes"), { secrets })).rejects.toMatchObject({
    code: "secret/unreadable",
    message: 'Cannot give secret "bytes" as a variable: it is not UTF-8',
  });
});

test.skipIf(skip)("secrets reach the command and nothing else", async () => {
  await using bench = new Workbench();
  const secrets = { get: async (id: string) => (id === "token" ? Buffer.from("hunter2") : undefined) };
  const target = bench.run(
    bench.busybox(),
    `[ "$(cat /run/secrets/token)" = "$TOKEN" ] && [ "\${#TOKEN}" = 7 ] && [ -z "$NONE" ] && echo ok > /out`,
    { mounts: [secret({ env: "TOKEN" }), secret({ id: "none", target: undefined, env: "NONE" })] },
  );
  expect((await runIn(bench, target, { secrets })).out).toBe("ok\n");
  expect(JSON.stringify([...bench.store.records.list()])).not.toContain("hunter2");
});

test.skipIf(skip)("a missing required secret is an error that names the flag", async () => {
  await using bench = new Workbench();
  const running = runIn(bench, bench.run(bench.busybox(), "true", { mounts: [secret({ required: true })] }));
  await expect(running).rejects.toMatchObject({
    code: "secret/not-found",
    hint: expect.stringContaining("--secret id=token,src=FILE") as string,
  });
});

test.skipIf(skip)(
  "an agent's socket is mounted with the owner and mode asked for, and named in the environment",
  async () => {
    await using bench = new Workbench();
    const hostPath = join(bench.directory, "agent.sock");
    const server = createServer().listen(hostPath);
    try {
      const { out } = await runIn(
        bench,
        bench.run(
          bench.busybox(),
          '[ -S "$SSH_AUTH_SOCK" ] && echo $SSH_AUTH_SOCK $(stat -c "%a %u %g" $SSH_AUTH_SOCK) > /out',
          {
            mounts: [
              {
                type: "ssh",
                id: "default",
                target: "/run/agent.0",
                required: true,
                permissions: 0o640,
                uid: 7,
                gid: 8,
              },
            ],
          },
        ),
        { ssh: { socket: async () => hostPath } },
      );
      expect(out).toBe("/run/agent.0 640 7 8\n");
    } finally {
      server.close();
    }
  },
);

test.skipIf(skip).each([
  { name: "an overlay", snapshotter: undefined },
  { name: "a copy of the tree", snapshotter: "native" },
])("a command's layer has the mount points of every container, run on $name", async ({ snapshotter }) => {
  await using bench = new Workbench();
  const copying = (): Partial<SolverDeps> => ({
    snapshotter: copyingSnapshotter({
      directory: bench.store.layout.snapshots,
      marks: "trusted",
      newId: () => randomUUID().slice(0, 8),
      native: bench.native,
    }),
  });
  // The image has none of them.
  await runIn(bench, bench.run(bench.busybox(), ": > /out"), snapshotter === undefined ? {} : copying());
  const [record] = bench.store.records.list();
  const layer = join(bench.store.layout.snapshots, record?.layers.at(-1) ?? "");
  expect(readdirSync(layer).toSorted()).toEqual(["dev", "out", "proc", "sys"]);
});

test.skipIf(skip)("a command in an empty tree runs when a mount brings it", async () => {
  await using bench = new Workbench();
  const { printed } = await runIn(
    bench,
    bench.run(undefined, "unused", {
      mounts: [bind({ input: 0, target: "/tools" })],
      inputs: [bench.busybox()],
      op: { argv: ["/tools/bin/busybox", "echo", "hi"] },
    }),
  );
  expect(printed).toBe("hi\n");
});

test.skipIf(skip)("aborting kills the command and leaves nothing to clean up", async () => {
  await using bench = new Workbench();
  const stop = new AbortController();
  const runtime = createRuntime({
    runtimePath: RUNTIME_PATH,
    scratchDirectory: join(bench.directory, "scratch"),
    overlayMarks: "trusted",
    arch: process.arch,
    instance: `${process.pid}-exec-test`,
    notice: () => undefined,
  });
  using deps = bench.deps({ runtime, progress: (event) => event.kind === "log" && stop.abort(new Error("enough")) });
  const target = bench.run(bench.busybox(), "echo started; busybox sleep 1000");
  await expect(solve(bench.graph(target), deps, bench.options(), stop.signal)).rejects.toThrow("enough");
  expect([...bench.store.records.list()]).toEqual([]);
});

test("the environment is PATH, the stage's, the agent, the proxy's and the secrets'", () => {
  const op: Pick<ExecOp, "env" | "mounts"> = { env: [["A=1", "http_proxy=mine"]], mounts: [] };
  expect(execEnvironment(op, ["http_proxy=theirs", "no_proxy=x"], ["S=2"])).toEqual([
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "A=1",
    "http_proxy=mine",
    "no_proxy=x",
    "S=2",
  ]);
});
