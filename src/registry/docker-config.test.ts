import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { dockerCredentials } from "./docker-config.ts";
import type { Credentials } from "./registry.ts";

const signal = new AbortController().signal;
let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "kiln-docker-config-"));
  const helper = join(directory, "docker-credential-fake");
  writeFileSync(
    helper,
    `#!/bin/sh
read server
case "$1 $server" in
  "get helped.example") echo '{"ServerURL":"helped.example","Username":"helped","Secret":"by a helper"}' ;;
  "get https://index.docker.io/v1/") echo '{"Username":"<token>","Secret":"refresh"}' ;;
  "get broken.example") echo "boom: a secret" ; exit 3 ;;
  *) echo "credentials not found in native keychain" ; exit 1 ;;
esac
`,
  );
  chmodSync(helper, 0o755);
});

afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

async function credentialsFor(registry: string, config: unknown): Promise<Credentials | undefined> {
  writeFileSync(join(directory, "config.json"), typeof config === "string" ? config : JSON.stringify(config));
  return dockerCredentials({ directory, env: { PATH: `${directory}:/usr/bin:/bin` } }).get(registry, signal);
}

const auth = (text: string): { auth: string } => ({ auth: Buffer.from(text).toString("base64") });

describe("docker's config.json", () => {
  test.each([
    {
      name: "auth of the registry",
      registry: "localhost:5000",
      config: { auths: { "localhost:5000": auth("ann:a:b") } },
      expected: { kind: "basic", username: "ann", password: "a:b" },
    },
    {
      name: "Docker Hub under its old address",
      registry: "docker.io",
      config: { auths: { "https://index.docker.io/v1/": auth("ann:pw") } },
      expected: { kind: "basic", username: "ann", password: "pw" },
    },
    {
      name: "an exact name before one with a path",
      registry: "a.example",
      config: { auths: { "a.example": auth("exact:1"), "https://a.example/v2/": auth("url:2") } },
      expected: { kind: "basic", username: "exact", password: "1" },
    },
    {
      name: "an identity token",
      registry: "a.example",
      config: { auths: { "a.example": { ...auth("ann:"), identitytoken: "refresh" } } },
      expected: { kind: "identity-token", token: "refresh" },
    },
    {
      name: "a registry token",
      registry: "a.example",
      config: { auths: { "a.example": { registrytoken: "as is" } } },
      expected: { kind: "registry-token", token: "as is" },
    },
    { name: "nothing for a stranger", registry: "b.example", config: { auths: {} }, expected: undefined },
    {
      name: "an entry emptied by a credential store",
      registry: "a.example",
      config: { auths: { "a.example": {} } },
      expected: undefined,
    },
    {
      name: "a helper for one registry",
      registry: "helped.example",
      config: { credHelpers: { "helped.example": "fake" }, auths: { "helped.example": auth("not:me") } },
      expected: { kind: "basic", username: "helped", password: "by a helper" },
    },
    {
      name: "the store for all others, and its identity tokens",
      registry: "docker.io",
      config: { credsStore: "fake" },
      expected: { kind: "identity-token", token: "refresh" },
    },
    {
      name: "auths where the store knows nobody",
      registry: "a.example",
      config: { credsStore: "fake", auths: { "a.example": auth("ann:pw") } },
      expected: { kind: "basic", username: "ann", password: "pw" },
    },
  ])("gives $name", async ({ registry, config, expected }) => {
    expect(await credentialsFor(registry, config)).toEqual(expected);
  });

  test.each([
    {
      name: "a helper that fails",
      config: { credHelpers: { "broken.example": "fake" } },
      message: "ended with status 3",
    },
    {
      name: "a helper that is not there",
      config: { credHelpers: { "broken.example": "missing" } },
      message: '"docker-credential-missing" is not installed',
    },
    {
      name: "a helper whose name is a path",
      config: { credHelpers: { "broken.example": "../../bin/sh" } },
      message: "not the name of a credential helper",
    },
    { name: "a file that is no JSON", config: "{", message: "is not a JSON object" },
  ])("with $name is an error that tells no secret", async ({ config, message }) => {
    const failing = credentialsFor("broken.example", config);
    await expect(failing).rejects.toMatchObject({
      code: "registry/unauthorized",
      message: expect.stringContaining(message),
    });
    await expect(failing).rejects.not.toMatchObject({ message: expect.stringContaining("a secret") });
  });

  test("need not exist", async () => {
    const source = dockerCredentials({ directory: join(directory, "nowhere"), env: {} });
    expect(await source.get("docker.io", signal)).toBeUndefined();
  });
});
