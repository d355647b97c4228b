import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { cannotRun, testEnvironment } from "../../../test/support/environment.ts";
import { build } from "../build.ts";
import type { BuildResult } from "../build-result.ts";
import { Engine } from "../engine.ts";
import { gitFacts } from "./git-facts.ts";
import { metadataOf } from "../metadata.ts";
import type { BuildOptions } from "../options.ts";

const why = cannotRun ?? (spawnSync("git", ["--version"]).status === 0 ? undefined : "needs git");
if (why !== undefined) console.warn(`skipped: the repository around a context: ${why}`);

const never = new AbortController().signal;
const REVISION = "org.opencontainers.image.revision";
const SOURCE = "org.opencontainers.image.source";
const ENTRYPOINT = "com.docker.image.source.entrypoint";

describe.skipIf(why !== undefined)("the repository around a context", () => {
  let home = "";
  let root = "";
  let commit = "";
  const git = (...args: string[]): string =>
    execFileSync("git", ["-c", "user.name=a", "-c", "user.email=a@b", ...args], { cwd: root, encoding: "utf8" }).trim();

  beforeEach(() => {
    home = realpathSync(mkdtempSync(join(tmpdir(), "kiln-vcs-")));
    root = join(home, "project");
    mkdirSync(join(root, "app"), { recursive: true });
    writeFileSync(join(root, "app/Dockerfile"), "FROM scratch\nARG TOKEN\nARG X\nLABEL own=1\n");
    git("init", "-q", "-b", "main");
    git("remote", "add", "origin", "https://me:secret@example.com/project.git");
    git("add", "-A");
    git("commit", "-q", "-m", "one");
    commit = git("rev-parse", "HEAD");
  });
  afterEach(() => rmSync(home, { recursive: true, force: true }));

  const run = async (
    env: Readonly<Record<string, string>>,
    options: Partial<BuildOptions> = {},
  ): Promise<BuildResult & { readonly labels: unknown }> => {
    const environment = testEnvironment(join(home, "store"), {
      env: { PATH: process.env["PATH"], ...env },
      workingDirectory: home,
    });
    const result = await build({ context: "project/app", ...options }, environment, never);
    await using engine = new Engine(environment, { progress: () => {} });
    const found = result.imageId === undefined ? undefined : engine.store.images.find(result.imageId);
    return { ...result, labels: found?.kind === "image" ? found.image.config.config.Labels : undefined };
  };

  test.each(["1", "true", "full"])("BUILDX_GIT_LABELS=%s labels the image", async (text) => {
    const { labels } = await run({ BUILDX_GIT_LABELS: text }, { labels: { [REVISION]: "mine", other: "2" } });
    expect(labels).toEqual({
      own: "1",
      other: "2",
      [REVISION]: commit,
      [SOURCE]: "https://example.com/project.git",
      [ENTRYPOINT]: "app/Dockerfile",
    });
  });

  test.each(["", "0", "false", "nonsense"])("BUILDX_GIT_LABELS=%j labels nothing", async (text) => {
    expect((await run({ BUILDX_GIT_LABELS: text })).labels).toEqual({ own: "1" });
  });

  test("a changed file is told where BUILDX_GIT_CHECK_DIRTY asks for it", async () => {
    writeFileSync(join(root, "new"), "");
    expect((await run({ BUILDX_GIT_LABELS: "1" })).labels).toMatchObject({ [REVISION]: commit });
    const { labels } = await run({ BUILDX_GIT_LABELS: "1", BUILDX_GIT_CHECK_DIRTY: "1" });
    expect(labels).toMatchObject({ [REVISION]: `${commit}-dirty` });
  });

  test("the branch's own remote comes first, and a Dockerfile elsewhere has no name in it", async () => {
    git("remote", "add", "mine", "git@example.com:mine.git");
    git("update-ref", "refs/remotes/mine/main", commit);
    git("branch", "-q", "--set-upstream-to=mine/main");
    writeFileSync(join(home, "Other"), "FROM scratch\nLABEL own=1\n");
    symlinkSync(root, join(home, "link"));
    const { labels } = await run({ BUILDX_GIT_LABELS: "1" }, { context: "link/app", dockerfile: "Other" });
    expect(labels).toEqual({ own: "1", [REVISION]: commit, [SOURCE]: "git@example.com:mine.git" });
  });

  test("a folder without a repository, and one without a commit, are no errors", async () => {
    rmSync(join(root, ".git"), { recursive: true });
    expect((await run({ BUILDX_GIT_LABELS: "1" })).labels).toEqual({ own: "1" });
    git("init", "-q");
    expect((await run({ BUILDX_GIT_LABELS: "1" })).labels).toEqual({ own: "1", [ENTRYPOINT]: "app/Dockerfile" });
  });

  test("programs that the repository names are not run", async () => {
    const mark = join(home, "mark");
    git("config", "core.fsmonitor", `touch ${mark}`);
    git("config", "core.pager", `touch ${mark}`);
    git("config", "core.sshCommand", `touch ${mark}`);
    for (const kind of ["clean", "smudge", "process"]) git("config", `filter.a b.${kind}`, `touch ${mark}; cat`);
    writeFileSync(join(root, ".gitattributes"), "* filter=a\\ b\n* filter=x\n");
    git("config", "filter.x.clean", `touch ${mark}; cat`);
    git("config", "filter.x.required", "true");
    writeFileSync(join(root, "app/Dockerfile"), "FROM scratch\nARG TOKEN\nARG X\nLABEL own=2\n");
    await run({ BUILDX_GIT_LABELS: "1", BUILDX_GIT_CHECK_DIRTY: "1" });
    expect(spawnSync("test", ["-e", mark]).status).toBe(1);
  });

  test("git is not asked when nothing is wanted", async () => {
    const environment = testEnvironment(join(home, "store"), { workingDirectory: home, runtimePath: "/nowhere" });
    const work = { directory: join(root, "app"), progress: () => {}, env: {} };
    expect(await gitFacts(environment, { context: "project/app" }, work, never)).toEqual({ labels: {}, vcs: {} });
  });

  const recorded = async (mode: "min" | "max" | undefined, env = {}, more = {}): Promise<Record<string, unknown>> =>
    metadataOf(await run(env, { recordProvenance: mode, buildArgs: { X: "1", TOKEN: "hidden" }, ...more }), false);

  test("the metadata file has a provenance without steps and times", async () => {
    const metadata = await recorded("min");
    expect(metadata["buildx.build.ref"]).toMatch(/^kiln\/kiln\/[a-z0-9-]+$/);
    expect(metadata["buildx.build.provenance"]).toEqual({
      builder: { id: "" },
      buildType: "https://mobyproject.org/buildkit@v1",
      materials: [],
      invocation: {
        configSource: { entryPoint: "Dockerfile" },
        parameters: {
          frontend: "dockerfile.v0",
          args: { "build-arg:TOKEN": "***", "build-arg:X": "1" },
          locals: [{ name: "context" }, { name: "dockerfile" }],
        },
        environment: { platform: expect.stringMatching(/^linux\//) },
      },
    });
  });

  test("max has steps, times and the repository; disabled has none; several platforms have one each", async () => {
    const vcs = {
      source: "https://example.com/project.git",
      revision: commit,
      "localdir:context": "app",
      "localdir:dockerfile": "app",
    };
    const metadata = { "https://mobyproject.org/buildkit@v1#metadata": { vcs } };
    expect(await recorded("max")).toMatchObject({ "buildx.build.provenance": { metadata, buildConfig: {} } });
    const without = await recorded("max", { BUILDX_GIT_INFO: "0" });
    expect(JSON.stringify(without)).not.toContain(commit);
    expect(Object.keys(await recorded(undefined)).filter((key) => key.includes("provenance"))).toEqual([]);
    const several = await recorded("min", {}, { platforms: ["linux/amd64", "linux/arm64"] });
    expect(Object.keys(several).filter((key) => key.includes("provenance"))).toEqual([
      "buildx.build.provenance/linux/amd64",
      "buildx.build.provenance/linux/arm64",
    ]);
  });
});
