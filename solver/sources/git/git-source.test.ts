import { execFileSync, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { GitOp } from "../../graph/op.ts";
import { createGitSource } from "./git-source.ts";
import { withoutCredentials } from "./run-git.ts";

const never = new AbortController().signal;
const missing = spawnSync("git", ["--version"]).status === 0 ? undefined : "needs git";
const PATH = process.env["PATH"] ?? "/usr/bin:/bin";

/** A repository with a branch, a lightweight and an annotated tag, a folder, a symlink that leads out and a hook. */
class Repository implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), "kiln-git-"));
  readonly remote = join(this.directory, "remote");
  readonly scratch = join(this.directory, "scratch");
  readonly first: string;
  readonly second: string;

  constructor() {
    mkdirSync(this.remote);
    mkdirSync(this.scratch);
    this.git("init", "-q", "-b", "main");
    writeFileSync(join(this.remote, "file"), "one");
    mkdirSync(join(this.remote, "sub"));
    writeFileSync(join(this.remote, "sub/inner"), "inner");
    symlinkSync("/etc", join(this.remote, "out"));
    this.first = this.commit("first");
    this.git("tag", "light");
    this.git("tag", "-a", "-m", "x", "annotated");
    writeFileSync(join(this.remote, "file"), "two");
    this.second = this.commit("second");
  }

  git(...args: string[]): string {
    const env = {
      PATH,
      GIT_CONFIG_GLOBAL: "/dev/null",
      GIT_AUTHOR_DATE: "@1500000000 +0000",
      GIT_COMMITTER_DATE: "@1500000000 +0000",
    };
    const config = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always"];
    return execFileSync("git", [...config, ...args], { cwd: this.remote, env, encoding: "utf8" }).trim();
  }

  commit(message: string): string {
    this.git("add", "-A");
    this.git("commit", "-q", "-m", message);
    return this.git("rev-parse", "HEAD");
  }

  source(protocols: readonly ("file" | "https")[] = ["file"]): ReturnType<typeof createGitSource> {
    return createGitSource({
      program: { env: { PATH }, protocols },
      scratchDirectory: this.scratch,
      secrets: { get: async () => undefined },
      ssh: { socket: async () => undefined },
    });
  }

  op(over: Partial<GitOp> = {}): GitOp {
    return {
      kind: "git",
      remote: this.remote,
      ref: undefined,
      subdir: undefined,
      keepGitDir: false,
      submodules: true,
      checksum: undefined,
      mtime: "checkout",
      ...over,
    };
  }

  async checkOut(over: Partial<GitOp> = {}): Promise<string> {
    const found = await this.source().find(this.op(over), never);
    const directory = mkdtempSync(join(this.directory, "out-"));
    await found.writeTo(directory, never);
    return directory;
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

test.skipIf(missing)("each form of a ref names its commit", async () => {
  using repository = new Repository();
  const { first, second } = repository;
  const cases: [string | undefined, string][] = [
    [undefined, second],
    ["main", second],
    ["refs/heads/main", second],
    ["light", first],
    ["annotated", first],
    ["refs/tags/annotated", first],
    [first, first],
    [first.slice(0, 9), first],
  ];
  for (const [ref, commit] of cases) {
    const { parts } = await repository.source().find(repository.op({ ref }), never);
    expect([ref, parts.find((part) => part.name === "commit")?.value]).toEqual([ref, commit]);
  }
});

test.skipIf(missing)("a checkout has the files and nothing of git's", async () => {
  using repository = new Repository();
  const directory = await repository.checkOut({ ref: "light", mtime: "commit" });
  expect(readdirSync(directory).toSorted()).toEqual(["file", "out", "sub"]);
  expect(readFileSync(join(directory, "file"), "utf8")).toBe("one");
  expect(statSync(join(directory, "file")).mtimeMs).toBe(1_500_000_000_000);
  expect(statSync(join(directory, "file")).mode & 0o7777).toBe(0o644);
  expect(readdirSync(repository.scratch)).toEqual([]);
});

test.skipIf(missing)("the git directory stays when wanted, with a detached head", async () => {
  using repository = new Repository();
  const directory = await repository.checkOut({ keepGitDir: true });
  const head = execFileSync("git", ["-C", directory, "rev-parse", "HEAD"], { encoding: "utf8" }).trim();
  expect(head).toBe(repository.second);
});

test.skipIf(missing).each([
  { ref: undefined, refs: "refs/heads/main commit" },
  { ref: "main", refs: "refs/heads/main commit" },
  { ref: "light", refs: "refs/tags/light commit" },
  { ref: "annotated", refs: "refs/tags/annotated tag" },
])("a kept git directory of $ref knows $refs, and nothing of the fetch", async ({ ref, refs }) => {
  using repository = new Repository();
  const directory = await repository.checkOut({ ref, keepGitDir: true });
  const format = "--format=%(refname) %(objecttype)";
  expect(execFileSync("git", ["-C", directory, "for-each-ref", format], { encoding: "utf8" })).toBe(`${refs}\n`);
  expect(existsSync(join(directory, ".git/FETCH_HEAD"))).toBe(false);
});

test.skipIf(missing)("a kept git directory of a commit knows no refs", async () => {
  using repository = new Repository();
  const directory = await repository.checkOut({ ref: repository.first, keepGitDir: true });
  expect(execFileSync("git", ["-C", directory, "for-each-ref"], { encoding: "utf8" })).toBe("");
});

test.skipIf(missing)("a folder of it, and never one outside", async () => {
  using repository = new Repository();
  expect(readdirSync(await repository.checkOut({ subdir: "sub" }))).toEqual(["inner"]);
  for (const subdir of ["out", "../scratch", "file", "nowhere"]) {
    await expect(repository.checkOut({ subdir })).rejects.toMatchObject({ code: "source/git" });
  }
});

test.skipIf(missing)("submodules come along unless told otherwise", async () => {
  using module = new Repository();
  using repository = new Repository();
  repository.git("submodule", "add", "-q", module.remote, "module");
  repository.commit("module");
  expect(readFileSync(join(await repository.checkOut(), "module/file"), "utf8")).toBe("two");
  expect(existsSync(join(await repository.checkOut(), "module/.git"))).toBe(false);
  expect(existsSync(join(await repository.checkOut({ submodules: false }), "module/file"))).toBe(false);
});

test.skipIf(missing)("a checksum must be the commit's", async () => {
  using repository = new Repository();
  const { first, second } = repository;
  await repository.source().find(repository.op({ checksum: second.slice(0, 12) }), never);
  const wrong = repository.source().find(repository.op({ checksum: first }), never);
  await expect(wrong).rejects.toThrow(`expected checksum to match ${first}, got ${second}`);
});

test.skipIf(missing).each([
  { name: "an option as remote", over: { remote: "--upload-pack=touch /tmp/kiln-pwned" } },
  { name: "an option as ref", over: { ref: "--upload-pack=touch /tmp/kiln-pwned" } },
  { name: "a remote helper", over: { remote: "ext::sh -c touch% /tmp/kiln-pwned" } },
  { name: "a ref that is not there", over: { ref: "nowhere" } },
])("$name is refused", async ({ over }) => {
  using repository = new Repository();
  await expect(repository.source().find(repository.op(over), never)).rejects.toMatchObject({ code: "source/git" });
  expect(existsSync("/tmp/kiln-pwned")).toBe(false);
});

test.skipIf(missing)("a protocol that is not on the list is refused", async () => {
  using repository = new Repository();
  const found = repository.source(["https"]).find(repository.op(), never);
  await expect(found).rejects.toMatchObject({ code: "source/git" });
});

test("credentials are taken out of URLs", () => {
  expect(withoutCredentials("https://me:p@w@host/x@y")).toBe("https://host/x@y");
  expect(withoutCredentials("ssh://me:p@w@host/x")).toBe("ssh://me@host/x");
  expect(withoutCredentials("https://me:pw@host/x and ssh://git:pw@host/y and git@host:z")).toBe(
    "https://host/x and ssh://git@host/y and git@host:z",
  );
});
