import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { accountsInFiles } from "./docker-config.ts";
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
  "get broken.example") echo '{"Username":"u","Secret":"a secret"}' ; printf 'the \\033[31mkeyring\\nis locked' >&2 ; exit 3 ;;
  "get stdout.example") echo "pass not initialized: exit status 1" ; exit 1 ;;
  "get deep.example/team") echo '{"Username":"path","Secret":"by a helper"}' ;;
  "get https://raw.example/") echo '{"Username":"raw","Secret":"by its own name"}' ;;
  *) echo "credentials not found in native keychain" ; exit 1 ;;
esac
`,
  );
  chmodSync(helper, 0o755);
  writeFileSync(join(directory, "docker-credential-endless"), "#!/bin/sh\nexec yes\n", { mode: 0o755 });
});

afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

async function credentialsFor(
  place: string,
  config: unknown,
  more: { readonly env?: Record<string, string>; readonly notice?: (message: string) => void } = {},
): Promise<Credentials | undefined> {
  const [registry = "", ...path] = place.split("/");
  writeFileSync(join(directory, "config.json"), typeof config === "string" ? config : JSON.stringify(config));
  const env = { PATH: `${directory}:/usr/bin:/bin`, ...more.env };
  const source = accountsInFiles({
    files: [join(directory, "config.json")],
    env,
    ...(more.notice === undefined ? {} : { notice: more.notice }),
  });
  return source.get({ registry, repository: path.join("/") || "team/app" }, signal);
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
      expected: { kind: "identity-token", token: "refresh", username: "ann" },
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
      name: "auths where the store has no entry",
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
      message: /"docker-credential-fake" ended with status 3: the.*keyring is locked$/,
    },
    {
      name: "a helper with an endless answer",
      config: { credHelpers: { "broken.example": "endless" } },
      message: "it printed more than 1 MiB",
    },
    {
      name: "a helper that is not there",
      config: { credHelpers: { "broken.example": "missing" } },
      message: '"docker-credential-missing" is not installed',
    },
    {
      name: "a helper named by a path",
      config: { credHelpers: { "broken.example": "../../bin/sh" } },
      message: "not the name of a credential helper",
    },
    { name: "a file that is no JSON", config: "{", message: "is not a JSON object" },
  ])("with $name is an error that tells no secret", async ({ config, message }) => {
    const failing = credentialsFor("broken.example", config);
    await expect(failing).rejects.toMatchObject({
      code: "registry/unauthorized",
      message: typeof message === "string" ? expect.stringContaining(message) : expect.stringMatching(message),
    });
    await expect(failing).rejects.not.toMatchObject({ message: expect.stringContaining("a secret") });
  });

  const named = (...names: string[]): Record<string, { auth: string }> =>
    Object.fromEntries(names.map((name) => [name, auth(`${name}:pw`)]));
  test.each([
    ["h.example/team/app", ["h.example/other", "h.example/team"], "h.example/team"],
    ["h.example/team/app", ["h.example/other", "h.example"], "h.example"],
    ["h.example/team/app", ["h.example/other"], undefined],
    ["h.example/team/app", ["h.example/tea", "h.example/team/ap"], undefined],
    ["h.example/team/app", ["h.example/team/app/deeper"], undefined],
    ["h.example/team/app", ["h.example", "h.example/team", "h.example/team/app"], "h.example/team/app"],
    ["h.example/team/app", ["h.example/team/"], "h.example/team/"],
    ["h.example/team/app", ["https://h.example/team/"], "https://h.example/team/"],
    ["h.example/team/app", ["https://h.example/v2/team"], "https://h.example/v2/team"],
    ["h.example/team/app", ["https://h.example/v1/"], "https://h.example/v1/"],
    ["h.example/team/app", ["h.example/v1/"], "h.example/v1/"],
    ["h.example/v2/app", ["h.example/v2/app"], "h.example/v2/app"],
    ["h.example/team/app", ["HTTPS://H.Example"], "HTTPS://H.Example"],
    ["H.EXAMPLE/team/app", ["h.example"], "h.example"],
    ["h.example/team/app", ["h.example/Team"], undefined],
    ["h.example:5000/team/app", ["h.example", "h.example:5001"], undefined],
    ["h.example/team/app", ["h.example:5000"], undefined],
    ["h.example:5000/team/app", ["http://h.example:5000/"], "http://h.example:5000/"],
    ["h.example/team/app", ["https://h.example:443"], "https://h.example:443"],
    ["h.example/team/app", ["sub.h.example", "example", "h.example.evil"], undefined],
    ["docker.io/library/alpine", ["docker.io"], "docker.io"],
    ["docker.io/library/alpine", ["index.docker.io"], "index.docker.io"],
    ["docker.io/library/alpine", ["https://index.docker.io/v1"], "https://index.docker.io/v1"],
    ["docker.io/library/alpine", ["http://registry-1.docker.io/v2/"], "http://registry-1.docker.io/v2/"],
    ["docker.io/library/alpine", ["https://index.docker.io/v1/access-token"], undefined],
    ["docker.io/team/app", ["docker.io/team", "https://index.docker.io/v1/"], "docker.io/team"],
  ])("for %s and entries %j gives that of %s", async (place, entries, expected) => {
    const found = await credentialsFor(place, { auths: named(...entries) });
    // The name is the part before the first colon, which an entry with a scheme or a port has too.
    const text = found?.kind === "basic" ? `${found.username}:${found.password}` : undefined;
    expect(text).toBe(expected === undefined ? undefined : `${expected}:pw`);
  });

  test.each([
    { name: "an empty helper means the file", config: { credHelpers: { "a.example": "" }, credsStore: "missing" } },
    { name: "a store that is not installed", config: { credsStore: "missing" } },
    { name: "a helper that is not installed", config: { credHelpers: { "a.example": "missing" } } },
    { name: "a file that begins with a mark of its encoding", config: {}, mark: "\uFEFF" },
  ])("with $name the entry of auths is used", async ({ config, mark = "" }) => {
    const text = mark + JSON.stringify({ ...config, auths: named("a.example") });
    const notices: string[] = [];
    const found = await credentialsFor("a.example/x", text, { notice: (message) => notices.push(message) });
    expect(found).toMatchObject({ username: "a.example" });
    expect(notices).toEqual([]);
  });

  test("a failing helper is reported where auths has an entry", async () => {
    const notices: string[] = [];
    const config = { credsStore: "fake", auths: named("broken.example") };
    const found = await credentialsFor("broken.example/x", config, { notice: (message) => notices.push(message) });
    expect(found).toMatchObject({ username: "broken.example" });
    expect(notices).toEqual([expect.stringContaining("is locked; the entry in config.json is used")]);
  });

  test.each([
    { name: "an entry for a path", place: "deep.example/team/app", auths: { "deep.example/team": {} }, user: "path" },
    { name: "an entry with a scheme", place: "raw.example/app", auths: { "https://raw.example/": {} }, user: "raw" },
  ])("a store is asked by $name, which it keeps the secret of", async ({ place, auths, user }) => {
    expect(await credentialsFor(place, { credsStore: "fake", auths })).toMatchObject({ username: user });
  });

  test("DOCKER_AUTH_CONFIG comes before the file and its helpers", async () => {
    const env = { DOCKER_AUTH_CONFIG: JSON.stringify({ auths: { "helped.example": auth("env:pw") } }) };
    const config = { credHelpers: { "helped.example": "fake" }, auths: named("helped.example") };
    expect(await credentialsFor("helped.example/x", config, { env })).toMatchObject({ username: "env" });
    expect(await credentialsFor("helped.example/x", config)).toMatchObject({ username: "helped" });
  });

  test.each(["", " \n", "{}", '{"auths":null,"credHelpers":[]}'])("%j has no credentials", async (content) => {
    expect(await credentialsFor("a.example/x", content)).toBeUndefined();
  });

  test("that are a directory are none", async () => {
    const above = mkdtempSync(join(tmpdir(), "kiln-docker-config-"));
    mkdirSync(join(above, "config.json"));
    const source = accountsInFiles({ files: [join(above, "config.json")], env: {} });
    expect(await source.get({ registry: "a.example", repository: "x" }, signal)).toBeUndefined();
    rmSync(above, { recursive: true });
  });

  test("need not exist", async () => {
    const source = accountsInFiles({ files: [join(directory, "nowhere/config.json")], env: {} });
    expect(await source.get({ registry: "docker.io", repository: "library/alpine" }, signal)).toBeUndefined();
  });
});
