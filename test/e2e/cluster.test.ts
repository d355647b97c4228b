import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { spawn } from "node:child_process";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { CODES } from "../../lib/reapi/failure.ts";
import { SimulatedWorker } from "../../lib/reapi/testing/simulated-worker.ts";
import { StandIn } from "../../lib/reapi/testing/stand-in.ts";
import { startTestRegistry, type TestRegistry } from "../support/registry.ts";
import { busyboxRoot, kilnBeside, missing, mustKiln, type Outcome, PROJECT, temporary } from "./harness.ts";

const lacking = missing("busybox");
if (lacking !== undefined) console.warn(`the tests of clusters are skipped: ${lacking}`);

describe.skipIf(lacking !== undefined)("steps on a cluster", () => {
  const folder = temporary();
  let registry: TestRegistry;
  let base = "";
  let server: StandIn;
  let stores = 0;

  /** Makes a context with these files. */
  const contextOf = (files: Readonly<Record<string, string>>): string => {
    const context = join(folder.path, `context-${(stores += 1)}`);
    mkdirSync(context);
    for (const [name, text] of Object.entries(files)) writeFileSync(join(context, name), text);
    return context;
  };
  const emptyStore = (): string => join(folder.path, `store-${(stores += 1)}`);
  const build = (store: string, context: string, ...flags: readonly string[]): Promise<Outcome> =>
    kilnBeside(store, ["build", "--progress", "plain", ...flags, context]);
  const remotely = (store: string, context: string, ...flags: readonly string[]): Promise<Outcome> =>
    build(store, context, "--remote", server.url, ...flags);
  const stored = (text: string): boolean => [...server.blobs.values()].some((blob) => blob.includes(text));

  beforeAll(async () => {
    registry = await startTestRegistry();
    base = `${registry.host}/base`;
    const store = emptyStore();
    mustKiln(store, ["import", busyboxRoot(folder.path), base]);
    const pushed = await kilnBeside(store, ["push", base]);
    if (pushed.status !== 0) throw new Error(pushed.stderr);
  });
  beforeAll(async () => {
    server = await StandIn.start({ env: { KILN_WORKER_STORE: join(folder.path, "worker"), KILN_KEEP_STORAGE: "off" } });
  });
  beforeEach(() => server.reset());
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  /** The digest of the manifest in an OCI archive. */
  const manifestIn = (tar: string): string =>
    /"digest":"(sha256:[0-9a-f]{64})"/.exec(readFileSync(tar).toString("latin1"))?.[1] ?? "none";

  test.each([
    { name: "chain", lines: ["RUN echo a > /a", "RUN cat /a && mkdir /d && chown 5:6 /d && ln -s a /l && ln /a /h"] },
    { name: "deleted file", lines: ["RUN rm /etc/group && rm -r /tmp && mkdir /tmp && touch /tmp/x"] },
    {
      name: "copy between",
      lines: ["COPY one /one", "RUN cat /one > /two", "COPY one /three", "RUN cat /three >> /two"],
    },
    { name: "bind mount", lines: ["RUN --mount=target=/src cat /src/one > /out && ls /src > /names"] },
    { name: "bind of a file", lines: ["RUN --mount=source=one,target=/x cat /x > /out"] },
    {
      name: "cache and tmpfs",
      lines: ["RUN --mount=type=cache,target=/c --mount=type=tmpfs,target=/t ls /c /t > /out"],
    },
    {
      name: "user and directory",
      lines: ["WORKDIR /w", "USER 7:8", "ENV A=b", "RUN id > /tmp/id; pwd >> /tmp/id; env | grep A= >> /tmp/id"],
    },
    { name: "here-document", lines: ["RUN <<EOF", "set -e", "echo first > /a", "echo second >> /a", "EOF"] },
    { name: "no change", lines: ["RUN true"] },
  ])("gives the image of this machine: $name", async ({ lines }) => {
    const context = contextOf({ one: "1\n", other: "2\n", Dockerfile: [`FROM ${base}`, ...lines, ""].join("\n") });
    const tar = (name: string): string => `${context}-${name}.tar`;
    const flags = (name: string): string[] => ["--reproducible", "-o", `type=oci,dest=${tar(name)}`];
    const here = await build(emptyStore(), context, ...flags("here"));
    const there = await remotely(emptyStore(), context, ...flags("there"));
    expect([here.status, there.status], there.stderr).toEqual([0, 0]);
    expect(server.executed.length).toBeGreaterThan(0);
    expect(manifestIn(tar("there"))).toBe(manifestIn(tar("here")));
  });

  test("files of a stage are mounted and copied from where they are", async () => {
    const context = contextOf({
      Dockerfile: [
        `FROM ${base} AS made`,
        "RUN mkdir /d && echo deep > /d/f",
        `FROM ${base}`,
        "RUN --mount=from=made,source=/d,target=/m cat /m/f > /out",
        "COPY --from=made /d/f /copied",
        "RUN cat /copied >> /out && [ $(wc -l < /out) = 2 ]",
      ].join("\n"),
    });
    const made = await remotely(emptyStore(), context, "-t", "app");
    expect([made.status, server.executed.length], made.stderr).toEqual([0, 3]);
  });

  test("a second, empty machine runs nothing, and pushes without fetching the base", async () => {
    const context = contextOf({
      one: "1",
      Dockerfile: `FROM ${base}\nCOPY one /\nRUN echo x > /x\nRUN cat /x /one > /y\n`,
    });
    const first = await remotely(emptyStore(), context, "-t", "app");
    expect([first.status, server.executed.length], first.stderr).toEqual([0, 2]);
    const before = server.sentBytes + server.receivedBytes;
    const second = await remotely(emptyStore(), context, "--push", "-t", `${registry.host}/second`, "--expect-cached");
    expect([second.status, server.executed.length], second.stderr).toEqual([0, 2]);
    expect(server.sentBytes + server.receivedBytes - before).toBeLessThan(1_000_000);
    const pulled = emptyStore();
    expectOutput(await kilnBeside(pulled, ["run", `${registry.host}/second`, "cat", "/y"]), "x\n1");
  });

  test("a server without kiln's entries still knows equal actions", async () => {
    const context = contextOf({ Dockerfile: `FROM ${base}\nRUN echo x > /x\n` });
    await remotely(emptyStore(), context, "-t", "app", "--cache-mode", "off");
    const second = await remotely(emptyStore(), context, "-t", "app", "--cache-mode", "off");
    expect([second.status, server.executed.length], second.stderr).toEqual([0, 1]);
    expect(second.stderr).toContain("CACHED");
  });

  test("a command's failure looks as it does here, and is not kept", async () => {
    const context = contextOf({ Dockerfile: `FROM ${base}\nRUN echo before; echo broken >&2; exit 7\n` });
    const store = emptyStore();
    for (const _ of [1, 2]) {
      const failed = await remotely(store, context);
      expect(failed.status).toBe(1);
      expect(failed.stderr).toContain("did not complete successfully: exit code: 7");
      expect(failed.stderr).toMatch(/before[\s\S]*broken/);
    }
    expect(server.executed).toHaveLength(2);
  });

  test("a step that is known to be short runs here, others there; each says where, and kiln why too", async () => {
    const lines = (text: string): string =>
      `FROM ${base}\nARG A=${text}\nRUN echo $A > /short\nFROM ${base}\nARG A=${text}\nRUN sleep 2; echo $A > /long\nCOPY --from=0 /short /\n`;
    const store = emptyStore();
    const context = contextOf({ Dockerfile: lines("one") });
    const first = await remotely(store, context);
    expect([first.status, server.executed.length], first.stderr).toEqual([0, 2]);
    writeFileSync(join(context, "Dockerfile"), lines("two"));
    const second = await remotely(store, context);
    expect([second.status, server.executed.length], second.stderr).toEqual([0, 3]);
    expect(second.stderr).toMatch(new RegExp(`RUN sleep 2; .*\\n.*why: .*\\n#\\d+ runs at ${server.url}`));
    const why = await kilnBeside(store, ["why"]);
    expect(why.stdout).toMatch(new RegExp(`RUN sleep .*ran at ${server.url}`));
    expect(why.stdout.match(/ran at/g)).toHaveLength(1);
  });

  test("secrets stay: their step runs here, and nothing of them is in the cluster", async () => {
    const context = contextOf({
      secret: "the-secret-text",
      ".dockerignore": "secret",
      Dockerfile: `FROM ${base}\nRUN echo travels > /a\nRUN --mount=type=secret,id=s cp /a /b && cat /run/secrets/s | wc -c > /n\nRUN cat /n /b\n`,
    });
    const flags = ["--secret", `id=s,src=${join(context, "secret")}`, "--remote-header", "x-token: the-token-text"];
    const made = await remotely(emptyStore(), context, ...flags);
    expect([made.status, server.executed.length], made.stderr).toEqual([0, 2]);
    expect(made.stderr).toMatch(/runs here: its secrets do not leave this machine/);
    expect([stored("the-secret-text"), stored("the-token-text"), stored("travels")]).toEqual([false, false, true]);
    expect(made.stderr).not.toContain("the-token-text");
  });

  test("a bind mount sends exactly the files that it selects", async () => {
    const context = contextOf({
      wanted: "wanted-content",
      ignored: "ignored-content",
      other: "other-content",
      ".dockerignore": "ignored",
      Dockerfile: `FROM ${base}\nRUN --mount=source=wanted,target=/f cp /f /g\n`,
    });
    const made = await remotely(emptyStore(), context);
    expect(made.status, made.stderr).toBe(0);
    expect(["wanted", "ignored", "other"].map((name) => stored(`${name}-content`))).toEqual([true, false, false]);
  });

  test.each([
    { name: "the host's network", flags: ["--network", "host"], line: "RUN true", says: "on the host's network" },
    {
      name: "full rights",
      flags: ["--allow", "security.insecure"],
      line: "RUN --security=insecure true",
      says: "security=insecure",
    },
  ])("$name is refused", async ({ flags, line, says }) => {
    const refused = await remotely(emptyStore(), contextOf({ Dockerfile: `FROM ${base}\n${line}\n` }), ...flags);
    expect([refused.status, server.executed.length]).toEqual([1, 0]);
    expect(refused.stderr).toContain("remote/unsupported");
    expect(refused.stderr).toContain(says);
  });

  test("lost blobs are sent again, and lost layers are made again", async () => {
    const context = contextOf({ Dockerfile: `FROM ${base}\nRUN echo x > /x\nRUN cat /x > /y\nRUN cat /y > /z\n` });
    const store = emptyStore();
    server.faults.answer = (call, number) => {
      // What the first two steps need and made is gone before they are asked for.
      if (call === "execute" && number <= 2) server.lose();
      return undefined;
    };
    const made = await remotely(store, context, "-t", "app");
    expect(made.status, made.stderr).toBe(0);
    server.faults = {};
    server.lose();
    const shown = await kilnBeside(store, ["build", "--remote", server.url, "-o", join(context, "out"), context]);
    expect(shown.status, shown.stderr).toBe(0);
    expect(readFileSync(join(context, "out/z"), "utf8")).toBe("x\n");
  });

  test("a layer that is not what its worker says is refused and named", async () => {
    const context = contextOf({ Dockerfile: `FROM ${base}\nRUN echo x > /x\n` });
    server.faults.changesResult = (result) => ({
      ...result,
      outputFiles: result.outputFiles.map((file) =>
        file.path.endsWith(".tar") ? { ...file, digest: server.keep(Buffer.from("another layer")) } : file,
      ),
    });
    const refused = await remotely(emptyStore(), context);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain("digest/mismatch");
  });

  test("a connection that breaks in the middle of a step is taken up", async () => {
    server.faults.breaksStream = () => true;
    const made = await remotely(emptyStore(), contextOf({ Dockerfile: `FROM ${base}\nRUN sleep 1; echo x > /x\n` }));
    expect([made.status, server.executed.length], made.stderr).toEqual([0, 1]);
  });

  test("a cluster that is away is an error, or all steps run here", async () => {
    const context = contextOf({ Dockerfile: `FROM ${base}\nRUN echo x > /x\n` });
    server.stop();
    const refused = await remotely(emptyStore(), context);
    expect([refused.status, refused.stderr.includes("remote/unreachable")]).toEqual([1, true]);
    const made = await remotely(emptyStore(), context, "--remote-fallback", "local");
    expect([made.status, made.stderr.includes("All steps run here")], made.stderr).toEqual([0, true]);
    await server.restart();
  });

  test("doctor has a worker try its machine, each time anew", async () => {
    const store = emptyStore();
    const doctor = (...flags: readonly string[]): Promise<Outcome> =>
      kilnBeside(store, ["doctor", "--remote", server.url, ...flags]);
    const told = await doctor();
    expect(told.status, told.stderr).toBe(0);
    expect(told.stdout).toMatch(/^worker's store +ok +\S+, shared by its steps/m);
    expect(told.stdout).toMatch(/^RUN +ok/m);
    expect(told.stdout).toMatch(/Steps on a worker: RUN works: /);
    const json = await doctor("--json");
    expect(JSON.parse(json.stdout)).toMatchObject({
      isUsable: true,
      sentBytes: 0,
      worker: { hasSharedStore: true, report: { isUsable: true, isolation: "root" } },
    });
    expect(server.executed).toHaveLength(2);
    const denied = await kilnBeside(store, ["doctor", "--remote", "http://x"]);
    expect([denied.status, denied.stderr.includes("it is no URL of a cluster")]).toEqual([125, true]);
  });

  test("doctor says what a server without workers is for", async () => {
    await using storage = await StandIn.start({ runsActions: false });
    const told = await kilnBeside(emptyStore(), ["doctor", "--remote", storage.url]);
    expect([told.status, told.stdout.includes("use it with --cache-from")], told.stderr).toEqual([1, true]);
  });

  test("an unchanged build asks the cluster nothing", async () => {
    const context = contextOf({ Dockerfile: `FROM ${base}\nRUN echo x > /x\n` });
    const store = emptyStore();
    await remotely(store, context, "-t", "app");
    server.counts.clear();
    const again = await remotely(store, context, "-t", "app");
    expect([again.status, [...server.counts]], again.stderr).toEqual([0, []]);
  });

  test("Ctrl-C ends what runs in the cluster", async () => {
    const context = contextOf({ Dockerfile: `FROM ${base}\nRUN sleep 100\n` });
    const args = ["--root", emptyStore(), "build", "--remote", server.url, context];
    const child = spawn(join(PROJECT, "bin/kiln"), args, { stdio: "ignore" });
    const ended = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
    await expect.poll(() => server.executed.length, { timeout: 20_000 }).toBe(1);
    child.kill("SIGINT");
    expect(await ended).not.toBe(0);
    expect(server.cancelled).toHaveLength(1);
  });

  test("two hundred steps run at once, on workers that are full now and then", async () => {
    await using many = await StandIn.start({ workers: 200, worker: new SimulatedWorker({ stepMs: () => 3000 }) });
    many.faults.answer = (call, number) =>
      call === "execute" && number % 10 === 0 ? CODES.resourceExhausted : undefined;
    const stages = Array.from({ length: 200 }, (_, i) => `FROM base AS s${i}\nRUN echo ${i}\n`);
    const mounts = stages.map((_, i) => `--mount=from=s${i},target=/m${i}`);
    const lines = [`FROM ${base} AS base`, ...stages, "FROM base", `RUN ${mounts.join(" ")} true`];
    const context = contextOf({ Dockerfile: lines.join("\n") });
    const made = await build(emptyStore(), context, "--remote", many.url, "--remote-jobs", "200");
    expect([made.status, many.executed.length], made.stderr.slice(-2000)).toEqual([0, 201]);
    expect(many.mostRunning).toBeGreaterThan(150);
  }, 60_000);
});

function expectOutput({ status, stdout, stderr }: Outcome, expected: string): void {
  expect([status, stdout], stderr).toEqual([0, expected]);
}
