import { execFileSync, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { PATH, Repository, missing, never, processesWith, serveGit } from "./git.fixture.ts";
import { runGit } from "./run-git.ts";

/** Waits until a condition holds; the test's own time limit ends it. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}

/** A program called git, first on the path. */
function fakeGit(repository: Repository, script: string): string {
  const directory = join(repository.directory, "bin");
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "git"), `#!/bin/sh\n${script}\n`);
  chmodSync(join(directory, "git"), 0o755);
  return `${directory}:${PATH}`;
}

test.skipIf(missing)(
  "the configuration of a repository around the store, and of the user, does not count",
  async () => {
    using repository = new Repository();
    const mark = join(repository.directory, "mark");
    const helper = join(repository.directory, "helper");
    writeFileSync(helper, `#!/bin/sh\ntouch ${mark}\nexit 1\n`, { mode: 0o755 });
    const config = `[core]\n gitProxy = ${helper}\n sshCommand = ${helper}\n hooksPath = ${repository.directory}\n`;
    execFileSync("git", ["init", "-q", repository.directory]);
    writeFileSync(join(repository.directory, ".git/config"), config);
    execFileSync("git", ["init", "-q", repository.scratch]);
    writeFileSync(join(repository.scratch, ".git/config"), config);
    const home = join(repository.directory, "home");
    mkdirSync(join(home, ".config/git"), { recursive: true });
    writeFileSync(join(home, ".gitconfig"), config);
    writeFileSync(join(home, ".config/git/attributes"), "* text eol=crlf\n");
    const env = { PATH, HOME: home };
    for (const remote of ["git://127.0.0.1:1/x.git", "ssh://127.0.0.1:1/x.git"]) {
      for (const ref of ["main", "0123456", "0".repeat(40)]) {
        const work = repository.checkOut({ remote, ref }, { env, protocols: ["git", "ssh"] });
        await expect(work).rejects.toMatchObject({ code: "source/git" });
      }
    }
    expect(existsSync(mark)).toBe(false);
    repository.git("config", "core.autocrlf", "false");
    writeFileSync(join(repository.remote, "lines"), "a\nb\n");
    repository.commit("lines");
    expect(readFileSync(join(await repository.checkOut({}, { env }), "lines"), "utf8")).toBe("a\nb\n");
  },
);

test.skipIf(missing).each([
  { how: "smart", ref: "short" },
  { how: "smart", ref: "main" },
  { how: "smart", ref: "refs/changes/1" },
  { how: "dumb", ref: "short" },
  { how: "dumb", ref: "whole" },
  { how: "dumb", ref: "main" },
  { how: "dumb", ref: "annotated" },
  { how: "dumb", ref: "refs/changes/1" },
] as const)(
  "a $how server's $ref is found and checked out, submodules too, and no process stays",
  async ({ how, ref }) => {
    using module = new Repository();
    using repository = new Repository();
    await using modules = await serveGit(module.directory, how);
    await using server = await serveGit(repository.directory, how);
    repository.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", module.remote, "module");
    repository.git("config", "-f", ".gitmodules", "submodule.module.url", `${modules.url}/remote/.git`);
    const commit = repository.commit("module");
    repository.git("update-ref", "refs/changes/1", commit);
    for (const one of [module, repository]) one.git("update-server-info");
    const wanted = { short: commit.slice(0, 8), whole: commit, main: "main", annotated: "annotated" };
    const remote = `${server.url}/remote/.git`;
    const name = ref === "refs/changes/1" ? ref : wanted[ref];
    const directory = await repository.checkOut({ remote, ref: name }, { protocols: ["http"] });
    expect(readFileSync(join(directory, "file"), "utf8")).toBe(ref === "annotated" ? "one" : "two");
    if (ref !== "annotated") expect(readFileSync(join(directory, "module/file"), "utf8")).toBe("two");
    expect(readdirSync(repository.scratch)).toEqual([]);
    expect(processesWith(remote)).toBe(0);
  },
);

test.skipIf(missing)("a short id that no commit has is told, and nothing goes on fetching", async () => {
  using repository = new Repository();
  repository.git("update-server-info");
  await using server = await serveGit(repository.directory, "dumb");
  const remote = `${server.url}/remote/.git`;
  const found = repository.source({ protocols: ["http"] }).find(repository.op({ remote, ref: "0123456" }), never);
  await expect(found).rejects.toThrow('Cannot find "0123456" in');
  expect(processesWith(remote)).toBe(0);
});

test.skipIf(missing)("an object that is missing fails a checkout instead of being fetched", async () => {
  using repository = new Repository();
  repository.git("update-server-info");
  const blob = repository.git("rev-parse", "HEAD:file");
  rmSync(join(repository.remote, ".git/objects", blob.slice(0, 2), blob.slice(2)));
  await using server = await serveGit(repository.directory, "dumb");
  const remote = `${server.url}/remote/.git`;
  for (const ref of ["main", repository.second.slice(0, 7)]) {
    const work = repository.checkOut({ remote, ref }, { protocols: ["http"] });
    await expect(work).rejects.toMatchObject({ code: "source/git" });
  }
  expect(processesWith(remote)).toBe(0);
});

test.skipIf(missing)("a submodule gets no other protocol and no option", async () => {
  using repository = new Repository();
  const mark = join(repository.directory, "mark");
  await using server = await serveGit(repository.directory, "smart");
  for (const url of [repository.remote, `ext::sh -c touch% ${mark}`, `--upload-pack=touch ${mark}`, "-u./x"]) {
    writeFileSync(
      join(repository.remote, ".gitmodules"),
      `[submodule "m"]\n\tpath = m\n\turl = ${url}\n\tupdate = !touch ${mark}\n`,
    );
    repository.git("add", ".gitmodules");
    repository.git("update-index", "--add", "--cacheinfo", `160000,${repository.first},m`);
    repository.git("commit", "-q", "-m", "m");
    const work = repository.checkOut({ remote: `${server.url}/remote/.git` }, { protocols: ["http"] });
    await expect(work).rejects.toMatchObject({ code: "source/git" });
  }
  expect(existsSync(mark)).toBe(false);
});

test.skipIf(missing)("a server that says nothing is given up", async () => {
  using repository = new Repository();
  await using server = await serveGit(repository.directory, "silent");
  const remote = `${server.url}/remote.git`;
  const found = repository.source({ quietMs: 300 }).find(repository.op({ remote }), never);
  await expect(found).rejects.toThrow("git made no progress");
  expect(processesWith(remote)).toBe(0);
});

test("what git has started is ended with it, when it is cancelled, and when there is too much of it", async () => {
  using repository = new Repository();
  const word = `10${process.pid}`;
  const call = { args: ["x"], repository: undefined, cwd: repository.scratch, secretConfig: [], sshSocket: undefined };
  const run = (script: string, signal = never): Promise<string> =>
    runGit({ ...repository.program, env: { PATH: fakeGit(repository, script) } }, call, signal);
  const orphan = `setsid sleep ${word} >/dev/null 2>&1 &`;

  expect(await run(`${orphan} echo said`)).toBe("said\n");
  expect(processesWith(word)).toBe(0);

  const cancel = new AbortController();
  const cancelled = run(`${orphan} sleep ${word}`, cancel.signal);
  cancelled.catch(() => {});
  await until(() => processesWith(word) === 2);
  cancel.abort(new Error("cancelled"));
  await expect(cancelled).rejects.toThrow("cancelled");
  await until(() => processesWith(word) === 0);

  await expect(run(`for i in $(seq 300); do sleep ${word} & done; wait`)).rejects.toThrow("too many processes");
  expect(processesWith(word)).toBe(0);
  await expect(run("yes")).rejects.toThrow("more than 64 MiB");
});

test.each([{ rights: "with a PID namespace" }, { rights: "without the right to one" }])(
  "a guard leaves nothing after its parent is killed, $rights",
  async ({ rights }) => {
    using repository = new Repository();
    const word = `11${process.pid}`;
    const words = ["sh", "-c", `setsid sleep ${word} & sleep ${word} & wait`];
    const guard = [repository.program.guardPath, "guard", ...words];
    const lesser = ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin", ...guard];
    // The shell stands for kiln: it starts the guard and waits.
    const child = spawn("sh", ["-c", '"$@"; true', "sh", ...(rights.startsWith("without") ? lesser : guard)], {
      stdio: "ignore",
    });
    await until(() => processesWith(word) === 2);
    child.kill("SIGKILL");
    await until(() => processesWith(word) === 0);
    expect(processesWith(word)).toBe(0);
  },
);
