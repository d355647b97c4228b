import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type GitServer, serveGit } from "../../solver/sources/git/git.fixture.ts";
import { kilnBeside, missing, type Outcome, temporary } from "./harness.ts";

const why = missing("git");
if (why !== undefined) console.warn(`the tests of baking from elsewhere are skipped: ${why}`);

const BAKE = `group "default" { targets = ["root", "sub"] }
target "root" { output = ["out-root"] }
target "sub" {
  context = "sub"
  contexts = { top = "." }
  output = ["out-sub"]
}
target "local" {
  context = BAKE_CMD_CONTEXT
  dockerfile = "cwd://Dockerfile.local"
  output = ["out-local"]
}
target "thief" { secret = ["id=x,src=/etc/shadow"] }
target "climber" { context = "sub/../.." }
`;
const FILES: Readonly<Record<string, string>> = {
  "docker-bake.hcl": BAKE,
  "other.hcl": 'target "default" { output = ["out-other"] }\n',
  Dockerfile: "FROM scratch\nCOPY docker-bake.hcl /definition\n",
  "sub/Dockerfile": "FROM scratch\nCOPY --from=top /Dockerfile /top\nCOPY file /file\n",
  "sub/file": "of the repository",
};

describe.skipIf(why !== undefined)("bake from elsewhere", { timeout: 120_000 }, () => {
  const folder = temporary();
  const here = join(folder.path, "here");
  let server: GitServer;
  let files: Server;
  let url = "";
  let fileUrl = "";
  const bake = (...args: readonly string[]): Promise<Outcome> =>
    kilnBeside(join(folder.path, "store"), ["bake", ...args], { cwd: here });
  const read = (path: string): string => readFileSync(join(here, path), "utf8").trim();

  beforeAll(async () => {
    const repository = join(folder.path, "git/repo");
    mkdirSync(join(repository, "sub"), { recursive: true });
    mkdirSync(here);
    for (const [name, text] of Object.entries(FILES)) writeFileSync(join(repository, name), text);
    writeFileSync(join(here, "Dockerfile.local"), "FROM scratch\nCOPY mine /mine\n");
    writeFileSync(join(here, "mine"), "of this machine");
    const script =
      "git init -q -b main && git add . && git -c user.name=n -c user.email=e commit -qm c && git update-server-info";
    const made = spawnSync("sh", ["-ec", script], { cwd: repository, encoding: "utf8" });
    if (made.status !== 0) throw new Error(made.stderr);
    server = await serveGit(join(folder.path, "git"), "dumb");
    url = `${server.url}/repo/.git`;
    files = createServer((_, response) => response.end(BAKE));
    await new Promise<void>((resolve) => files.listen(0, "127.0.0.1", resolve));
    const address = files.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    fileUrl = `http://127.0.0.1:${address.port}/docker-bake.hcl`;
  });
  afterAll(async () => {
    files.close();
    await server[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  test("contexts of a repository's definition are directories of the repository", async () => {
    expect((await bake(`${url}#main`)).stderr).toContain("out-sub");
    expect(read("out-root/definition")).toContain('target "root"');
    expect([read("out-sub/file"), read("out-sub/top")]).toEqual(["of the repository", FILES["Dockerfile"]?.trim()]);
  });

  test("cwd:// is the directory of the command, and a second URL takes its place", async () => {
    await bake(url, "local");
    expect(read("out-local/mine")).toBe("of this machine");
    expect((await bake(url, `${url}#main:sub`, "--print", "local")).stdout).toContain(`"context": "${url}#main:sub"`);
  });

  test("-f names files of the repository, and with cwd:// of this machine", async () => {
    writeFileSync(join(here, "more.hcl"), 'target "default" { labels = { more = "yes" } }\n');
    const { stdout } = await bake(url, "-f", "other.hcl", "-f", "cwd://more.hcl", "--print");
    expect(JSON.parse(stdout)).toMatchObject({ target: { default: { context: url, labels: { more: "yes" } } } });
    expect((await bake(url, "-f", "nothere.hcl")).stderr).toContain("it has no file nothere.hcl");
  });

  test("a URL of one file is a definition for this directory", async () => {
    const { stdout } = await bake(fileUrl, "--print", "root");
    expect(JSON.parse(stdout)).toMatchObject({ target: { root: { context: "." } } });
  });

  test("a definition from elsewhere takes nothing from this machine, and stays in its repository", async () => {
    const thief = await bake(url, "thief");
    expect(thief.stderr).toContain("add --allow fs.read=/etc/shadow");
    const climber = await bake(url, "--allow", "fs=*", "climber");
    expect(climber.stderr).toContain("leads out of");
    expect([thief.status, climber.status]).toEqual([1, 1]);
  });
});
