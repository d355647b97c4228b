import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { expect, test } from "vitest";
import type { GitOp } from "../../graph/op.ts";
import { Repository, missing, never, serveGit } from "./git.fixture.ts";
import { withoutCredentials } from "../../../lib/core/credentials.ts";

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

test.skipIf(missing)("a checksum is compared with HEAD, a tag's object or its commit", async () => {
  using repository = new Repository();
  const { first, second } = repository;
  const tag = repository.git("rev-parse", "annotated");
  const commit = async (over: Partial<GitOp>): Promise<string | undefined> => {
    const { parts } = await repository.source().find(repository.op(over), never);
    return parts.find((part) => part.name === "commit")?.value;
  };
  expect(await commit({ checksum: second.slice(0, 1) })).toBe(second);
  expect(await commit({ checksum: second.slice(0, 9).toUpperCase() })).toBe(second);
  expect(await commit({ ref: "annotated", checksum: tag })).toBe(first);
  expect(await commit({ ref: "annotated", checksum: first.slice(0, 9) })).toBe(first);
  await expect(commit({ ref: "annotated", checksum: second })).rejects.toThrow(`got ${tag} or ${first}`);
});

test.skipIf(missing)(
  "fetch-by-commit takes the checksum for the commit and keeps the name that was asked for",
  async () => {
    using repository = new Repository();
    const { first } = repository;
    const over = { ref: "main", checksum: first, fetchByCommit: true, keepGitDir: true } as const;
    const directory = await repository.checkOut(over);
    expect(readFileSync(join(directory, "file"), "utf8")).toBe("one");
    const format = "--format=%(refname) %(objectname)";
    const refs = execFileSync("git", ["-C", directory, "for-each-ref", format], { encoding: "utf8" });
    expect(refs).toBe(`refs/heads/main ${first}\n`);
    for (const checksum of [undefined, first.slice(0, 12)]) {
      await expect(repository.checkOut({ ...over, checksum })).rejects.toThrow("fetch-by-commit requires");
    }
  },
);

test.skipIf(missing)("a repository with ids of SHA-256", async () => {
  using repository = new Repository("sha256");
  const { first, second } = repository;
  expect(first).toHaveLength(64);
  for (const ref of [undefined, "main", second, second.slice(0, 50), second.slice(0, 8)]) {
    expect(readFileSync(join(await repository.checkOut({ ref }), "file"), "utf8")).toBe("two");
  }
  expect(await (await repository.source().find(repository.op({ ref: "light" }), never)).date(never)).toBe(
    1_500_000_000,
  );
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
  const found = repository.source({ protocols: ["https"] }).find(repository.op(), never);
  await expect(found).rejects.toMatchObject({ code: "source/git" });
});

test("credentials are taken out of URLs", () => {
  expect(withoutCredentials("https://me:p@w@host/x@y")).toBe("https://host/x@y");
  expect(withoutCredentials("ssh://me:p@w@host/x")).toBe("ssh://me@host/x");
  expect(withoutCredentials("https://me:pw@host/x and ssh://git:pw@host/y and git@host:z")).toBe(
    "https://host/x and ssh://git@host/y and git@host:z",
  );
});

test.skipIf(missing)("a submodule may be the folder, and one within it", async () => {
  using module = new Repository();
  using repository = new Repository();
  repository.git("submodule", "add", "-q", module.remote, "mod/ule");
  repository.commit("module");
  for (const [subdir, names] of [
    ["mod/ule", ["file", "out", "sub"]],
    ["/mod/ule/sub/", ["inner"]],
    ["../mod//./ule/sub", ["inner"]],
  ] as const) {
    expect(readdirSync(await repository.checkOut({ subdir })).toSorted()).toEqual(names);
  }
});

test.skipIf(missing)("a kept git directory knows its submodules", async () => {
  using module = new Repository();
  using repository = new Repository();
  repository.git("submodule", "add", "-q", module.remote, "module");
  const commit = repository.commit("module");
  const directory = await repository.checkOut({ keepGitDir: true });
  const git = (...args: string[]): string => execFileSync("git", ["-C", directory, ...args], { encoding: "utf8" });
  expect(git("submodule", "status")).toContain(` ${module.second} module`);
  expect(git("-C", "module", "log", "--format=%H", "-1").trim()).toBe(module.second);
  expect(git("status", "--porcelain")).toBe("");
  expect(git("rev-parse", "HEAD").trim()).toBe(commit);
});

test.skipIf(missing)("a token goes to the remote's host, for its submodules too, and nowhere else", async () => {
  using module = new Repository();
  using repository = new Repository();
  const authorization = `basic ${Buffer.from("x-access-token:T").toString("base64")}`;
  const elsewhere: (string | undefined)[] = [];
  await using server = await serveGit(dirname(repository.directory), "smart", { authorization });
  await using other = await serveGit(module.directory, "smart", { seen: elsewhere });
  const remote = `${server.url}/${basename(repository.directory)}/remote/.git`;
  const own = `${server.url}/${basename(module.directory)}/remote/.git`;
  for (const [name, url] of [["own", own] as const, ["other", `${other.url}/remote/.git`] as const]) {
    repository.git("submodule", "add", "-q", module.remote, name);
    repository.git("config", "-f", ".gitmodules", `submodule.${name}.url`, url);
  }
  repository.commit("modules");
  const protocols = ["http"] as const;
  await expect(repository.checkOut({ remote }, { protocols })).rejects.toMatchObject({
    hint: expect.stringContaining("GIT_AUTH_TOKEN"),
  });
  const { host } = new URL(server.url);
  for (const secrets of [
    { GIT_AUTH_TOKEN: "T" },
    { [`GIT_AUTH_HEADER.${host}`]: authorization, GIT_AUTH_TOKEN: "no" },
  ]) {
    const directory = await repository.checkOut({ remote }, { protocols }, secrets);
    expect(readFileSync(join(directory, "own/file"), "utf8")).toBe("two");
    expect(readFileSync(join(directory, "other/file"), "utf8")).toBe("two");
  }
  const inUrl = remote.replace("://", "://x-access-token:T@");
  expect(readFileSync(join(await repository.checkOut({ remote: inUrl }, { protocols }), "own/file"), "utf8")).toBe(
    "two",
  );
  const wrong = remote.replace("://", "://x-access-token:no@");
  await repository.checkOut({ remote: wrong }, { protocols }, { GIT_AUTH_TOKEN: "T" });
  expect(elsewhere.length).toBeGreaterThan(0);
  expect(new Set(elsewhere)).toEqual(new Set([undefined]));
});

test.skipIf(missing)("credentials of the URL reach a submodule that is named relative to it, and no key", async () => {
  using repository = new Repository();
  using module = new Repository();
  const authorization = `basic ${Buffer.from("ann@b:p%/w").toString("base64")}`;
  await using server = await serveGit(dirname(repository.directory), "smart", { authorization });
  repository.git("submodule", "add", "-q", module.remote, "module");
  const relative = `../../../${basename(module.directory)}/remote/.git`;
  repository.git("config", "-f", ".gitmodules", "submodule.module.url", relative);
  repository.commit("module");
  const remote = `${server.url}/${basename(repository.directory)}/remote/.git`.replace("://", "://ann%40b:p%25%2Fw@");
  const over = { remote, keepGitDir: true };
  const directory = await repository.checkOut(over, { protocols: ["http"] });
  expect(readFileSync(join(directory, "module/file"), "utf8")).toBe("two");
  const config =
    readFileSync(join(directory, ".git/config"), "utf8") +
    readFileSync(join(directory, ".git/modules/module/config"), "utf8");
  expect(config).toContain(module.directory.slice(module.directory.lastIndexOf("/")));
  expect(config).not.toMatch(/p%|ann/);
  const { parts } = await repository.source({ protocols: ["http"] }).find(repository.op(over), never);
  expect(JSON.stringify(parts)).not.toMatch(/p%|ann/);
});

test.skipIf(missing)("names that are also something else, and commits that no name leads to", async () => {
  using repository = new Repository();
  const { first, second } = repository;
  repository.git("branch", "both", first);
  repository.git("tag", "both", second);
  repository.git("branch", "feature/x", first);
  repository.git("branch", "abcdef1", first);
  repository.git("commit", "-q", "--amend", "-m", "other");
  const amended = repository.git("rev-parse", "HEAD");
  repository.git("checkout", "-q", "--detach", first);
  await using server = await serveGit(repository.directory, "smart");
  const cases: [string | undefined, string][] = [
    ["both", first],
    ["refs/tags/both", second],
    ["tags/both", second],
    ["heads/both", first],
    ["feature/x", first],
    ["abcdef1", first],
    ["main", amended],
    [undefined, first],
    [second, second],
  ];
  for (const [ref, commit] of cases) {
    const op = repository.op({ remote: `${server.url}/remote/.git`, ref, keepGitDir: true });
    const found = await repository.source({ protocols: ["http"] }).find(op, never);
    expect([ref, found.parts.find((part) => part.name === "commit")?.value]).toEqual([ref, commit]);
    const directory = mkdtempSync(join(repository.directory, "out-"));
    await found.writeTo(directory, never);
    expect(execFileSync("git", ["-C", directory, "rev-parse", "HEAD"], { encoding: "utf8" }).trim()).toBe(commit);
  }
});

test.skipIf(missing)("a repository without a commit is told to have none", async () => {
  using repository = new Repository();
  const remote = join(repository.directory, "empty");
  execFileSync("git", ["init", "-q", remote]);
  for (const ref of [undefined, "main", "0123456"]) {
    const found = repository.source().find(repository.op({ remote, ref }), never);
    await expect(found).rejects.toThrow(`Cannot find ${JSON.stringify(ref ?? "HEAD")} in`);
  }
});
