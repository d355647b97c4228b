import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { importBusybox, noBusybox, writeFiles } from "../../test/support/busybox.ts";
import { cannotRun, testEnvironment } from "../../test/support/environment.ts";
import { BuildError } from "../../lib/core/errors.ts";
import { build } from "./build.ts";
import { checkedOutCommit } from "./context/checked-out-commit.ts";
import { Engine } from "./engine.ts";
import type { BuildOptions } from "./options.ts";
import { parseReport } from "./report-shape.ts";
import type { BuildReport } from "./report.ts";

const skip = cannotRun ?? noBusybox;
if (skip !== undefined) console.warn(`skipped: records of builds: ${skip}`);

let home = "";
beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), "kiln-record-"));
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

describe.skipIf(skip !== undefined)("the record of a build", () => {
  let contexts = 0;
  beforeAll(() => importBusybox(testEnvironment(join(home, "store"))));

  async function context(dockerfile: string, files: Readonly<Record<string, string>> = {}): Promise<string> {
    const directory = join(home, `context-${(contexts += 1)}`);
    mkdirSync(directory);
    await writeFiles(directory, { Dockerfile: dockerfile, ...files });
    return directory;
  }

  /** Runs a build, which may fail, and returns its report as the store has it. */
  async function recorded(options: BuildOptions, signal = new AbortController().signal): Promise<BuildReport> {
    const environment = testEnvironment(join(home, "store"), { workingDirectory: home });
    await build(options, environment, signal).catch(() => undefined);
    await using engine = new Engine(environment, { progress: () => {} });
    const [kept] = engine.store.builds.list();
    const report = parseReport(kept);
    if (report === undefined) throw new Error(`No report: ${JSON.stringify(kept)}`);
    return report;
  }

  test("has the times, places, needs, layers and logs of its steps, and its result", async () => {
    const directory = await context(
      "FROM busybox AS a\nRUN echo one > /one; echo said\nFROM busybox AS b\nCOPY x /x\nFROM b\nCOPY --from=a /one /two\n",
      { x: "x" },
    );
    const { record, steps, error } = await recorded({ context: directory, tags: ["record"] });
    expect(error).toBeUndefined();
    expect(record).toMatchObject({ status: "completed", dockerfile: "Dockerfile", warnings: 0 });
    expect(record?.result?.imageId).toMatch(/^sha256:/);
    expect(record?.result?.names).toEqual(["docker.io/library/record:latest"]);
    expect(record?.work.map(({ name }) => name)).toContain("exporting to image");
    const at = (text: string): number => steps.findIndex(({ instruction }) => instruction.startsWith(text));
    const [run, copy, last] = [steps[at("RUN")], steps[at("COPY x")], steps[at("COPY --from")]];
    expect(run).toMatchObject({ state: "done", stage: "a", place: { file: "Dockerfile", line: 2 }, isOnFirst: true });
    expect(run?.log).toMatch(/\.log$/);
    expect(run?.endMs ?? 0).toBeGreaterThanOrEqual(run?.startMs ?? Infinity);
    expect(run?.layerBytes).toBeGreaterThan(0);
    expect(last?.needs).toEqual([at("COPY x"), at("RUN")]);
    expect(record?.result?.layers.map(({ id }) => id).slice(-2)).toEqual([copy?.layer, last?.layer]);
    const again = await recorded({ context: directory, tags: ["record"] });
    expect(again.steps.every(({ how }) => how === "cached")).toBe(true);
    expect(again.record?.steps?.cached).toBe(again.record?.steps?.total);
    expect(again.record?.result?.layers).toEqual(record?.result?.layers);
  });

  test("of a failed build says where, and keeps the log", async () => {
    const { record, steps, error } = await recorded({ context: await context("FROM busybox\nRUN echo why; exit 3\n") });
    expect(record?.status).toBe("failed");
    expect(error?.code).toBe("solver/exec-failed");
    expect(steps.at(-1)).toMatchObject({ state: "failed", place: { line: 2 } });
    expect(steps.at(-1)?.log).toMatch(/\.log$/);
  });

  test("is there for a build that knew no steps", async () => {
    const { record, error, total } = await recorded({ context: await context("BOGUS\n") });
    expect({ status: record?.status, code: error?.code, total }).toEqual({
      status: "failed",
      code: "dockerfile/unknown-instruction",
      total: 0,
    });
  });

  test("of a cancelled build says so", async () => {
    const stop = new AbortController();
    const { record, steps } = await recorded(
      {
        context: await context("FROM busybox\nRUN echo started; sleep 600\n"),
        progress: (event) => {
          if (event.kind === "log") stop.abort(new BuildError("build/cancelled", "Cancelled by the test"));
        },
      },
      stop.signal,
    );
    expect(record?.status).toBe("cancelled");
    expect(steps.at(-1)).toMatchObject({ state: "cancelled" });
  });

  test("has no secret, and no value of a build argument that is named like one", async () => {
    const directory = await context("FROM busybox\nARG API_TOKEN\nARG URL\nRUN true $API_TOKEN\n", {
      file: "filesecret",
    });
    const report = await recorded({
      context: directory,
      buildArgs: { API_TOKEN: "tok3nvalue", URL: "https://bob:hunter2@host/x", PLAIN: "plain" },
      labels: { password: "labelsecret" },
      secrets: [{ id: "file", from: "file", path: join(directory, "file") }],
    });
    const text = JSON.stringify(report);
    for (const secret of ["tok3nvalue", "hunter2", "labelsecret", "filesecret"]) expect(text).not.toContain(secret);
    expect(report.record?.options).toMatchObject({
      buildArgs: ["API_TOKEN=***", "URL=https://host/x", "PLAIN=plain"],
      secrets: ["file"],
    });
  });
});

test("the checked-out commit is that of git, in a branch, detached, packed, in a worktree and below a folder", () => {
  const directory = join(home, "repository");
  mkdirSync(join(directory, "a/b"), { recursive: true });
  const git = (...args: string[]): string =>
    execFileSync("git", ["-c", "user.name=x", "-c", "user.email=x@x", ...args], {
      cwd: directory,
      encoding: "utf8",
      env: { PATH: process.env["PATH"], HOME: home },
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  git("init", "-q", "-b", "main");
  expect(checkedOutCommit(directory)).toBeUndefined();
  git("commit", "-q", "--allow-empty", "-m", "one");
  const commit = git("rev-parse", "HEAD");
  expect(checkedOutCommit(directory)).toBe(commit);
  expect(checkedOutCommit(join(directory, "a/b"))).toBe(commit);
  git("pack-refs", "--all");
  expect(checkedOutCommit(directory)).toBe(commit);
  git("worktree", "add", "-q", join(home, "tree"), "-b", "other");
  expect(checkedOutCommit(join(home, "tree"))).toBe(commit);
  git("checkout", "-q", "--detach");
  expect(checkedOutCommit(directory)).toBe(commit);
  expect(checkedOutCommit(home)).toBeUndefined();
  execFileSync("sh", ["-c", "rm .git/HEAD && mkfifo .git/HEAD"], { cwd: directory });
  expect(checkedOutCommit(directory)).toBeUndefined();
});
