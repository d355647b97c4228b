import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { dockerRegistryMissing, type DockerRegistry, startDockerRegistry } from "../support/docker-registry.ts";
import { type GitServer, serveGit } from "../../solver/sources/git/git.fixture.ts";
import { busyboxRoot, kilnBeside, missing, mustKiln, type Outcome, temporary } from "./harness.ts";

const why = missing("busybox", "git") ?? dockerRegistryMissing;
if (why !== undefined) console.warn(`the tests of locked sources are skipped: ${why}`);

describe.skipIf(why !== undefined)("locked sources", { timeout: 240_000 }, () => {
  const folder = temporary();
  const at = (...names: readonly string[]): string => join(folder.path, ...names);
  const lock = at("kiln.lock");
  let registry: DockerRegistry;
  let git: GitServer;
  let files: Server;
  let filesUrl = "";
  let file = "one";

  const must = async (root: string, ...args: readonly string[]): Promise<Outcome> => {
    const outcome = await kilnBeside(at(root), args);
    if (outcome.status !== 0) throw new Error(`kiln ${args.join(" ")}: ${outcome.stderr}`);
    return outcome;
  };
  const pushBase = async (text: string): Promise<void> => {
    mkdirSync(at("base"), { recursive: true });
    writeFileSync(at("base/Dockerfile"), `FROM busy\nRUN echo ${text} > /base\n`);
    await must("maker", "build", "-q", "--push", "-t", `${registry.host}/locked/base:1`, at("base"));
  };
  const commit = (text: string): void => {
    const script =
      'mkdir -p "$1" && cd "$1" && git init -q -b main && echo "$2" > f && git add f && git -c user.name=n -c user.email=e commit -qm c && git update-server-info';
    const run = spawnSync("sh", ["-ec", script, "sh", at("git/repo"), text], { encoding: "utf8" });
    if (run.status !== 0) throw new Error(run.stderr);
  };
  const build = (root: string, ...args: readonly string[]): Promise<Outcome> =>
    kilnBeside(at(root), ["build", "--progress=plain", "--lock", lock, ...args, at("context")]);
  const locked = (): { images: Record<string, string>; git: Record<string, string>; http: Record<string, string> } =>
    JSON.parse(readFileSync(lock, "utf8"));

  beforeAll(async () => {
    registry = await startDockerRegistry();
    mustKiln(at("maker"), ["import", busyboxRoot(folder.path), "busy"]);
    await pushBase("one");
    commit("one");
    git = await serveGit(at("git"), "dumb");
    files = createServer((_, response) => response.end(file));
    await new Promise<void>((resolve) => files.listen(0, "127.0.0.1", resolve));
    const address = files.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    filesUrl = `http://user:pass@127.0.0.1:${address.port}/file?token=hidden`;
    mkdirSync(at("context"));
    const dockerfile = [
      `FROM ${registry.host}/locked/base:1 AS unused`,
      `FROM ${registry.host}/locked/base:1`,
      "RUN echo has run",
      `ADD ${git.url}/repo/.git#main /git/`,
      `ADD ${filesUrl} /file`,
      "",
    ];
    writeFileSync(at("context/Dockerfile"), dockerfile.join("\n"));
  });
  afterAll(async () => {
    files.close();
    await git[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  test("a lock file has every base image and remote source, and a build that is locked takes just these", async () => {
    expect((await build("one", "--locked")).stderr).toContain("error[lock/unusable]");
    const first = await build("one");
    expect(first.status, first.stderr).toBe(0);
    const text = readFileSync(lock, "utf8");
    expect(text).not.toMatch(/pass|hidden|user/);
    const { images, git: commits, http } = locked();
    expect(Object.entries(images)).toEqual([
      [expect.stringMatching(/locked\/base:1 linux\/[a-z0-9]+$/), expect.stringMatching(/^sha256:[0-9a-f]{64}$/)],
    ]);
    expect(Object.entries(commits)).toEqual([[`${git.url}/repo/.git#main`, expect.stringMatching(/^[0-9a-f]{40}$/)]]);
    expect(Object.values(http)).toEqual([expect.stringMatching(/^sha256:[0-9a-f]{64}$/)]);
    // The same from a warm and an empty store.
    for (const root of ["one", "two"]) {
      const again = await build(root, "--locked");
      expect(again.status, again.stderr).toBe(0);
      expect((await build(root)).status).toBe(0);
      expect(readFileSync(lock, "utf8")).toBe(text);
    }

    const refused = async (root: string, name: string, ...args: readonly string[]): Promise<void> => {
      const before = readFileSync(lock, "utf8");
      const outcome = await build(root, "--locked", ...args);
      expect(outcome, name).toMatchObject({ status: 1, stderr: expect.stringContaining("error[lock/differs]") });
      expect(outcome.stderr).toContain(name);
      expect(outcome.stderr).not.toMatch(/\d has run|:pass@/);
      expect(readFileSync(lock, "utf8")).toBe(before);
    };
    const relock = async (): Promise<void> => {
      expect((await build("three", "--pull")).status).toBe(0);
      expect((await build("three", "--locked")).status).toBe(0);
    };
    await pushBase("two");
    await refused("three", "locked/base:1");
    await refused("one", "locked/base:1", "--pull");
    await refused("one", "locked/base:1", "--pull-ttl=0s");
    await relock();
    commit("two");
    await refused("four", "repo/.git#main");
    await relock();
    file = "two";
    await refused("five", "/file?");
    await relock();
    // A source that is new in the Dockerfile.
    const { images: _images, ...rest } = locked();
    writeFileSync(lock, JSON.stringify({ ...rest, images: {} }));
    await refused("six", "it is not in the lock file");
    await relock();
  });

  test("remote contexts and Dockerfiles are locked as well", async () => {
    const tar = spawnSync("tar", ["-czf", "-", "-C", at("base"), "."], { maxBuffer: 1 << 24 }).stdout;
    const plain = spawnSync("tar", ["-cf", "-", "-C", at("base"), "."], { maxBuffer: 1 << 24 }).stdout;
    const server = createServer((request, response) => {
      if (request.url === "/c.tar.gz") response.end(tar);
      else if (request.url === "/c.tar") response.end(plain);
      else response.end("FROM scratch\nCOPY Dockerfile /\n");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const address = server.address();
      if (address === null || typeof address === "string") throw new Error("no port");
      const host = `http://127.0.0.1:${address.port}`;
      const own = at("own.lock");
      for (const args of [[`${host}/c.tar.gz`], [`${host}/c.tar`], ["-f", `${host}/Dockerfile`, at("context")]]) {
        const all = ["build", "-q", "--lock", own, ...args];
        await must("maker", ...all);
        const { http } = JSON.parse(readFileSync(own, "utf8")) as ReturnType<typeof locked>;
        expect(Object.keys(http)).toEqual([args.find((one) => one.startsWith("http"))]);
        await must("maker", ...all, "--locked");
        writeFileSync(own, readFileSync(own, "utf8").replace(/"sha256:.{8}/g, '"sha256:00000000'));
        const outcome = await kilnBeside(at("maker"), [...all, "--locked"]);
        expect(outcome.stderr).toContain("error[lock/differs]");
      }
      const repository = [`${git.url}/repo/.git`, "--lock", own, "-f", "f"];
      const failed = await kilnBeside(at("maker"), ["build", ...repository, "--locked"]);
      expect(failed.stderr).toContain(`Cannot use "${git.url}/repo/.git": it is not in the lock file`);
    } finally {
      server.close();
    }
  });

  test.each([
    { name: "no JSON", text: "{", says: "it is not JSON" },
    { name: "another version", text: '{"version":2,"images":{},"git":{},"http":{}}', says: "version is not" },
    {
      name: "no digest",
      text: '{"version":1,"images":{"a b":"x"},"git":{},"http":{}}',
      says: "is not a sha256 digest",
    },
  ])("a lock file that is $name is refused", async ({ text, says }) => {
    writeFileSync(at("bad.lock"), text);
    const outcome = await kilnBeside(at("one"), ["build", "--lock", at("bad.lock"), "--locked", at("context")]);
    expect(outcome).toMatchObject({ status: 1, stderr: expect.stringContaining("error[lock/unusable]") });
    expect(outcome.stderr).toContain(says);
  });

  test("a lock file that cannot be written, or is not named, is refused before anything is read", async () => {
    for (const args of [["--lock", at("none/lock")], ["--lock", at("context")], ["--locked"], ["--lock="]]) {
      const outcome = await kilnBeside(at("one"), ["build", ...args, at("nowhere")]);
      expect(outcome.status).not.toBe(0);
      expect(outcome.stderr).toMatch(/error\[(?:lock\/unusable|cli\/usage)\]/);
    }
    expect(existsSync(at("none"))).toBe(false);
  });
});
