import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { testEnvironment } from "../../../test/support/environment.ts";
import { digestOf, hexOf } from "../../../lib/core/digest.ts";
import { build } from "../build.ts";

const { signal } = new AbortController();
const home = mkdtempSync(join(tmpdir(), "kiln-origin-"));
const server = createServer(({ url }, response) => {
  try {
    response.end(readFileSync(join(home, new URL(url ?? "", "http://a").pathname)));
  } catch {
    response.writeHead(404).end();
  }
});
let commit = "";

beforeAll(async () => {
  const git = (...args: string[]): string =>
    execFileSync("git", ["-c", "user.name=a", "-c", "user.email=a@b", ...args], { cwd: home, encoding: "utf8" });
  writeFileSync(join(home, "Dockerfile"), "FROM scratch\nLABEL a=b\n");
  execFileSync("tar", ["-cf", "context.tar", "Dockerfile"], { cwd: home });
  git("init", "-q", "-b", "main", "repo");
  copyFileSync(join(home, "Dockerfile"), join(home, "repo/Dockerfile"));
  git("-C", "repo", "add", "Dockerfile");
  git("-C", "repo", "commit", "-qm", "one");
  git("clone", "-q", "--bare", "repo", "repo.git");
  git("-C", "repo.git", "update-server-info");
  commit = git("-C", "repo", "rev-parse", "HEAD").trim();
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
});

afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(home, { recursive: true, force: true });
});

const digestOfFile = (name: string) => ({ sha256: hexOf(digestOf(readFileSync(join(home, name)))) });

test.each([
  { name: "a repository", path: "repo.git", digest: () => ({ sha1: commit }) },
  { name: "a branch", path: "repo.git#main", digest: () => ({ sha1: commit }) },
  { name: "an archive", path: "context.tar", digest: () => digestOfFile("context.tar") },
  { name: "a Dockerfile", path: "Dockerfile", digest: () => digestOfFile("Dockerfile") },
])("a context from elsewhere is a dependency with its digest: $name", async ({ path, digest }) => {
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { provenance } = await build(
    { context: `http://bob:hunter2@${host}/${path}`, recordProvenance: "max" },
    testEnvironment(join(home, "store")),
    signal,
  );
  expect(JSON.stringify(provenance)).not.toContain("hunter2");
  const place = { uri: `http://${host}/${path}`, digest: digest() };
  expect(provenance?.[0]?.predicate).toMatchObject({
    materials: [place],
    invocation: { configSource: place, parameters: { frontend: "dockerfile.v0", args: {} } },
    metadata: { completeness: { materials: true }, "https://mobyproject.org/buildkit@v1#hermetic": true },
  });
  expect(JSON.stringify(provenance)).not.toContain('"locals"');
});
