import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BuildError, build, inspect, pull } from "../index.ts";
import { cannotRun, testEnvironment } from "../../test/support/environment.ts";
import { importBusybox, noBusybox, writeFiles } from "../../test/support/busybox.ts";

const why = cannotRun ?? noBusybox;
if (why !== undefined) console.warn(`the tests of the library are skipped: ${why}`);
const PROJECT = join(import.meta.dirname, "../..");

describe.skipIf(why !== undefined)("kiln as a library", () => {
  const folder = mkdtempSync(join(tmpdir(), "kiln-library-"));
  const root = join(folder, "store");
  const context = join(folder, "context");

  beforeAll(async () => {
    mkdirSync(root);
    await importBusybox(testEnvironment(root));
    await writeFiles(context, {
      Dockerfile: "FROM busybox\nARG N=0\nRUN echo step $N\nCOPY . /c/\n",
      "a.txt": "a\n",
    });
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("every option may be left out but where files are", async () => {
    const { imageId, names } = await build({ root, workingDirectory: context });
    expect(imageId).toMatch(/^sha256:/);
    expect(names).toEqual([]);
  });

  test("progress is iterated, and ends with the build", async () => {
    const running = build({ root, context, tags: ["lib"], noCache: true });
    const kinds = new Set<string>();
    let output = "";
    for await (const event of running) {
      kinds.add(event.kind);
      if (event.kind === "log") output += event.data;
    }
    expect(output).toBe("step 0\n");
    expect([...kinds].toSorted()).toEqual(expect.arrayContaining(["log", "step-done", "step-started"]));
    const facts = await inspect("lib", { root });
    expect({ id: facts.Id, tags: facts.RepoTags }).toEqual({ id: (await running).imageId, tags: ["lib:latest"] });
  });

  test("a failing build throws its BuildError from the iteration and from the promise", async () => {
    const running = build({ root, context: "-", stdin: "FROM busybox\nRUN exit 3\n" });
    const error = await Array.fromAsync(running).catch((failure: unknown) => failure);
    expect(error).toBeInstanceOf(BuildError);
    expect(error).toMatchObject({ code: "solver/exec-failed" });
    await expect(running).rejects.toBe(error);
  });

  test("two builds at once in one process do not disturb each other", async () => {
    const results = await Promise.all(
      ["1", "2", "3"].map((n) => build({ root, context, buildArgs: { N: n }, tags: [`n:${n}`], noCache: true })),
    );
    expect(new Set(results.map(({ imageId }) => imageId)).size).toBe(3);
  });

  test("an aborted signal ends the steps, and leaves nothing unfinished", async () => {
    const stop = new AbortController();
    const running = build({
      root,
      context: "-",
      stdin: Readable.from(["FROM busybox\nRUN echo up; sleep 98766\n"]),
      signal: stop.signal,
      onProgress: (event) => {
        if (event.kind === "log") stop.abort();
      },
    });
    await expect(running).rejects.toMatchObject({ code: "build/cancelled" });
    await expect(build({ root, context, signal: stop.signal })).rejects.toMatchObject({ code: "build/cancelled" });
    expect(readdirSync(join(root, "snapshots")).filter((name) => name.startsWith("active-"))).toEqual([]);
    expect(readdirSync("/proc").filter(sleeps)).toEqual([]);
  });

  test("outputs are directories, or attributes by the names of --output", async () => {
    const out = join(folder, "out");
    await build({ root, context, outputs: [out, { type: "oci", dest: join(folder, "app.tar") }] });
    expect(readFileSync(join(out, "c/a.txt"), "utf8")).toBe("a\n");
    expect(existsSync(join(folder, "app.tar"))).toBe(true);
    await expect(build({ root, context, outputs: [{ type: "tar", dest: "-" }] })).rejects.toMatchObject({
      code: "cli/usage",
    });
  });

  test("what is not there is an error by its code", async () => {
    await expect(inspect("missing", { root })).rejects.toMatchObject({ code: "image/not-found" });
    await expect(pull("Not A Name", { root })).rejects.toMatchObject({ code: "reference/malformed" });
  });
});

/** Tells whether a process of /proc is the step's. */
function sleeps(pid: string): boolean {
  try {
    return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "latin1").includes("sleep\u000098766");
  } catch {
    return false; // it has just ended
  }
}

/** Runs a program that imports kiln by its name, as the examples do. */
function node(args: readonly string[], env: Readonly<Record<string, string>>): { status: number; out: string } {
  const run = spawnSync(process.execPath, args, {
    cwd: join(PROJECT, "examples/library"),
    env: { ...process.env, ...env },
    encoding: "utf8",
    timeout: 60_000,
  });
  return { status: run.status ?? 255, out: run.stdout + run.stderr };
}

const notBuilt = existsSync(join(PROJECT, "build/library/index.js")) ? undefined : "needs npm run build";
if (notBuilt !== undefined) console.warn(`the tests of the bundled library are skipped: ${notBuilt}`);

describe.skipIf((why ?? notBuilt) !== undefined)("the bundled library", () => {
  const folder = mkdtempSync(join(tmpdir(), "kiln-examples-"));
  const store = join(folder, "store");
  const hello = join(PROJECT, "examples/hello");

  beforeAll(async () => {
    mkdirSync(store);
    await importBusybox(testEnvironment(store));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("importing it starts nothing and sets no handler", () => {
    const script = `
      const names = () => JSON.stringify([process.eventNames().filter((name) => name !== "newListener"), Object.keys(globalThis)]);
      const before = names();
      await import("kiln");
      console.log(names() === before, process.getActiveResourcesInfo().filter((name) => /Timeout|TCP|FSEvent/.test(name)).length);`;
    expect(node(["--input-type=module", "-e", script], {})).toEqual({ status: 0, out: "true 0\n" });
  });

  test.each([
    ["build.mjs", [hello], /^sha256:[0-9a-f]{64}: \d+ steps/],
    ["progress.mjs", [hello], / ms \[build 4\/4\] RUN[^]*sha256:[0-9a-f]{64}\n/],
    ["files.mjs", [hello, join(folder, "out")], /image\.tar\n$/],
    ["build.mjs", [join(folder, "nowhere")], /^context\/not-found: /],
  ])("the example %s %j runs", (name, args, expected) => {
    const { status, out } = node([name, ...args], { KILN_ROOT: store });
    expect({ status, out }).toEqual({ status: args[0] === hello ? 0 : 1, out: expect.stringMatching(expected) });
  });

  test("a plain user's build runs in a process of its own, with a user namespace", (context) => {
    const home = mkdtempSync("/tmp/kiln-library-user-");
    try {
      chmodSync(home, 0o755);
      chownSync(home, 65_533, 65_533);
      const script = `
        import { build } from ${JSON.stringify(join(PROJECT, "build/library/index.js"))};
        import { Readable } from "node:stream";
        const options = { context: "-", root: "${home}/store", stdin: Readable.from(["FROM scratch\\nCOPY <<EOF /x\\nx\\nEOF\\n"]), outputs: ["${home}/out"] };
        const events = [];
        for await (const event of build(options)) events.push(event.kind);
        console.log(events.includes("step-done"));
        const error = await build({ context: "${home}/nowhere", root: "${home}/store" }).catch((failure) => failure);
        console.log(error.name, error.code);`;
      const run = spawnSync(
        "setpriv",
        ["--reuid=65533", "--regid=65533", "--clear-groups", process.execPath, "--input-type=module", "-e", script],
        { env: { ...process.env, HOME: home }, cwd: home, encoding: "utf8", timeout: 60_000 },
      );
      if (run.error !== undefined || /EACCES|Cannot find/.test(run.stderr)) {
        context.skip(`the program or this clone cannot be reached by a plain user: ${run.stderr.split("\n")[0]}`);
      }
      expect(run.stderr + run.stdout).toContain("true\nBuildError context/not-found\n");
      expect(readFileSync(join(home, "out/x"), "utf8")).toBe("x\n");
    } finally {
      rmSync(home, { recursive: true, force: true });
    }
  });
});
