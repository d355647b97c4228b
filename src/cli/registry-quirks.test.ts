import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cannotRun, testEnvironment } from "../../test/support/environment.ts";
import { startTestRegistry, type TestRegistryOptions } from "../../test/support/registry.ts";
import { main } from "./main.ts";

if (cannotRun !== undefined) console.warn(`skipped: quirks of registries: ${cannotRun}`);

interface Quirk {
  readonly name: string;
  readonly username: string;
  readonly password: string;
  readonly auth: "basic" | "token" | "identity token";
  readonly more?: Partial<TestRegistryOptions>;
}

/** Habits of registries, as their documentation or their answers have it. */
const QUIRKS: readonly Quirk[] = [
  {
    name: "ECR: the user AWS and a long password, by Basic",
    username: "AWS",
    password: "e".repeat(2000),
    auth: "basic",
  },
  {
    name: "GCR: a JSON key with colons, quotes and line ends for a password",
    username: "_json_key",
    password: '{"type":"service_account",\n"private_key":"-----BEGIN:\\n\\u003d\\n"}',
    auth: "token",
  },
  {
    name: "ACR: an identity token of the user with zeros, and only an access_token in the answer",
    username: "00000000-0000-0000-0000-000000000000",
    password: "",
    auth: "identity token",
    more: { tokenAnswer: (token) => ({ access_token: token }) },
  },
  {
    name: "Docker Hub: token, access_token, expires_in and issued_at",
    username: "me",
    password: "dckr_pat_x",
    auth: "token",
    more: {
      tokenAnswer: (token) => ({ token, access_token: token, expires_in: 300, issued_at: "2026-01-01T00:00:00Z" }),
    },
  },
  {
    name: "GHCR: a token without any life",
    username: "me",
    password: "ghp_x",
    auth: "token",
    more: { tokenAnswer: (token) => ({ token }) },
  },
  {
    name: "GitLab: tokens that end in the middle of a push",
    username: "gitlab-ci-token",
    password: "x",
    auth: "token",
    more: { tokenUses: 2 },
  },
  { name: "Harbor: a robot with a dollar sign", username: "robot$team+ci", password: "p$x", auth: "token" },
  { name: "Quay: a robot with a plus sign", username: "org+robot", password: "p+x /=", auth: "token" },
];

describe.skipIf(cannotRun !== undefined)("registries", () => {
  let home = "";
  beforeAll(() => {
    home = mkdtempSync(join(tmpdir(), "kiln-quirks-"));
    mkdirSync(join(home, "context"));
    for (const name of ["a", "b", "c"]) writeFileSync(join(home, "context", name), name);
    writeFileSync(join(home, "context/Dockerfile"), "FROM scratch\nCOPY a /\nCOPY b /\nCOPY c /\n");
  });
  afterAll(() => rmSync(home, { recursive: true, force: true }));

  const kiln = async (store: string, argv: readonly string[], docker: string) => {
    const environment = testEnvironment(join(home, store));
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const status = await main(["--root", environment.root, ...argv], {
      ...environment,
      env: { DOCKER_CONFIG: docker },
      homeDirectory: home,
      workingDirectory: home,
      partsDirectory: join(environment.addonPath, ".."),
      bundled: false,
      platform: process.platform,
      stdin: Readable.from([]),
      stdout,
      stderr,
      rawArguments: () => undefined,
      onUncaught: () => ({ [Symbol.dispose]: () => undefined }),
      onInterrupt: () => ({ [Symbol.dispose]: () => undefined }),
    });
    return { status, stderr: String(stderr.read() ?? "") };
  };

  test.each(QUIRKS)("$name", async ({ username, password, auth, more }) => {
    const kind = auth === "basic" ? auth : "token";
    const refresh = auth === "identity token" ? { refreshToken: "refresh" } : {};
    await using registry = await startTestRegistry({ auth: { kind, username, password, ...refresh }, ...more });
    const docker = mkdtempSync(join(home, "docker-"));
    const entry = {
      auth: Buffer.from(`${username}:${password}`).toString("base64"),
      ...(auth === "identity token" ? { identitytoken: "refresh" } : {}),
    };
    writeFileSync(join(docker, "config.json"), JSON.stringify({ auths: { [registry.host]: entry } }));
    const image = `${registry.host}/team/app:1`;
    expect(await kiln("from", ["build", "-q", "-t", image, "--push", "context"], docker)).toMatchObject({ status: 0 });
    expect(await kiln(`to-${registry.host.replace(":", "-")}`, ["pull", "-q", image], docker)).toMatchObject({
      status: 0,
    });
  });
});
