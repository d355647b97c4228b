import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cannotRun, testEnvironment } from "../../test/support/environment.ts";
import { type RegistryAuth, startTestRegistry } from "../../test/support/registry.ts";
import { main } from "./main.ts";

if (cannotRun !== undefined) console.warn(`skipped: login and logout: ${cannotRun}`);

const BASIC = { kind: "basic", username: "me", password: "right" } as const;
const TOKEN = { kind: "token", username: "me", password: "right", refreshToken: "refresh" } as const;

describe.skipIf(cannotRun !== undefined)("login and logout", () => {
  let home = "";

  beforeAll(() => {
    home = mkdtempSync(join(tmpdir(), "kiln-login-"));
    mkdirSync(join(home, "context"));
    writeFileSync(join(home, "context/Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n");
    const helper = `#!/bin/sh
umask 077; store="${home}/helper-$(basename "$0")"
case "$1" in
  store) cat > "$store" ;;
  get) [ -f "$store" ] && cat "$store" || { echo "credentials not found in native keychain"; exit 1; } ;;
  erase) rm -f "$store" ;;
esac
`;
    writeFileSync(join(home, "docker-credential-fake"), helper);
    chmodSync(join(home, "docker-credential-fake"), 0o755);
    writeFileSync(join(home, "docker-credential-broken"), "#!/bin/sh\necho the keyring is locked >&2\nexit 3\n");
    chmodSync(join(home, "docker-credential-broken"), 0o755);
  });
  afterAll(() => rmSync(home, { recursive: true, force: true }));

  /** A docker configuration directory with a file of this content, or without one. */
  const directory = (content?: string): string => {
    const made = mkdtempSync(join(home, "docker-"));
    if (content !== undefined) writeFileSync(join(made, "config.json"), content);
    return made;
  };
  const accountsIn = (path: string): unknown => JSON.parse(readFileSync(path, "utf8"));
  const auth = (text: string): string => Buffer.from(text).toString("base64");

  const kiln = async (
    argv: readonly string[],
    { docker, input = "", env = {} }: { docker: string; input?: string; env?: Readonly<Record<string, string>> },
  ) => {
    const environment = testEnvironment(join(home, "store"));
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const status = await main(["--root", environment.root, ...argv], {
      ...environment,
      env: { DOCKER_CONFIG: docker, PATH: `${home}:/usr/bin:/bin`, ...env },
      homeDirectory: home,
      workingDirectory: home,
      partsDirectory: join(environment.addonPath, ".."),
      bundled: false,
      platform: process.platform,
      stdin: Readable.from(input === "" ? [] : [Buffer.from(input)]),
      stdout,
      stderr,
      rawArguments: () => undefined,
      onUncaught: () => ({ [Symbol.dispose]: () => undefined }),
      onInterrupt: () => ({ [Symbol.dispose]: () => undefined }),
    });
    const text = (stream: PassThrough): string => String(stream.read() ?? "");
    return { status, stdout: text(stdout).trim(), stderr: text(stderr) };
  };

  test.each<{ readonly name: string; readonly auth: RegistryAuth }>([
    { name: "basic", auth: BASIC },
    { name: "token", auth: TOKEN },
  ])("tries the account, keeps it, uses it and forgets it: $name", async ({ auth: wanted }) => {
    await using registry = await startTestRegistry({ auth: wanted });
    const { host } = registry;
    const docker = directory('{"HttpHeaders":{"X":"kept"},"auths":{"other.example":{"auth":"eDp5"}}}');
    const login = ["login", "-u", "me", "--password-stdin", host];
    const wrong = await kiln(login, { docker, input: "wrong\n" });
    expect(wrong).toMatchObject({ status: 1, stderr: expect.stringContaining(`log in to "${host}"`) });
    expect(wrong.stderr).not.toContain("wrong\n");
    expect(await kiln(login, { docker, input: "right\n" })).toMatchObject({ status: 0, stdout: "Login Succeeded" });
    const path = join(docker, "config.json");
    expect(accountsIn(path)).toEqual({
      HttpHeaders: { X: "kept" },
      auths: { "other.example": { auth: "eDp5" }, [host]: { auth: auth("me:right") } },
    });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const image = `${host}/team/app:1`;
    expect(await kiln(["build", "-q", "-t", image, "--push", "context"], { docker })).toMatchObject({ status: 0 });
    expect(await kiln(["logout", `https://${host}/v2/`], { docker })).toMatchObject({
      status: 0,
      stdout: `Removed the account for ${host}`,
    });
    expect(accountsIn(path)).toMatchObject({ auths: { "other.example": { auth: "eDp5" } } });
    expect(await kiln(["logout", host], { docker })).toMatchObject({ status: 0, stdout: `Not logged in to ${host}` });
    expect(await kiln(["pull", "-q", image], { docker })).toMatchObject({ status: 1 });
    expect(await kiln(["pull", "-q", "--creds", "me:right", image], { docker })).toMatchObject({ status: 0 });
    expect(await kiln(["push", "-q", "--creds", "me:wrong", image], { docker })).toMatchObject({ status: 1 });
  });

  test("a credential helper keeps the password, and the file has none", async () => {
    await using registry = await startTestRegistry({ auth: BASIC });
    const docker = directory('{"credsStore":"fake"}');
    const login = ["login", "-u", "me", "-p", "right", registry.host];
    const kept = await kiln(login, { docker });
    expect(kept).toMatchObject({ status: 0, stdout: "Login Succeeded" });
    expect(kept.stderr).toContain("use --password-stdin");
    expect(kept.stderr).not.toContain("unencrypted");
    expect(accountsIn(join(docker, "config.json"))).toEqual({ credsStore: "fake", auths: { [registry.host]: {} } });
    const image = `${registry.host}/team/app:1`;
    expect(await kiln(["build", "-q", "-t", image, "--push", "context"], { docker })).toMatchObject({ status: 0 });
    expect((await kiln(["logout", registry.host], { docker })).stdout).toContain("Removed");
    expect(await kiln(["pull", "-q", image], { docker })).toMatchObject({ status: 1 });
    const broken = directory('{"credsStore":"broken"}');
    expect(await kiln(login, { docker: broken })).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("the keyring is locked"),
    });
    expect(accountsIn(join(broken, "config.json"))).toEqual({ credsStore: "broken" });
  });

  test("podman's files are found, docker's comes first, and --authfile is the only one", async () => {
    await using registry = await startTestRegistry({ auth: TOKEN });
    const { host } = registry;
    const image = `${host}/team/app:1`;
    const pushed = ["build", "-q", "-t", image, "--push", "context"];
    const right = JSON.stringify({ auths: { [host]: { auth: auth("me:right") } } });
    const wrong = right.replace(auth("me:right"), auth("me:wrong"));
    const runtime = join(home, "runtime");
    const config = join(home, "config");
    for (const place of [runtime, config]) mkdirSync(join(place, "containers"), { recursive: true });
    writeFileSync(join(runtime, "containers/auth.json"), right);
    writeFileSync(join(config, "containers/auth.json"), right);
    writeFileSync(join(home, "named.json"), right);
    const none = directory();
    const pull = ["pull", "-q", image];
    expect(await kiln(pushed, { docker: none })).toMatchObject({ status: 1 });
    expect(await kiln(pushed, { docker: none, env: { XDG_RUNTIME_DIR: runtime } })).toMatchObject({ status: 0 });
    expect(await kiln(pull, { docker: none, env: { XDG_CONFIG_HOME: config } })).toMatchObject({ status: 0 });
    expect(await kiln(pull, { docker: directory(wrong), env: { XDG_CONFIG_HOME: config } })).toMatchObject({
      status: 1,
    });
    const env = { REGISTRY_AUTH_FILE: join(home, "named.json") };
    expect(await kiln(pull, { docker: directory(wrong), env })).toMatchObject({ status: 0 });
    expect(await kiln([...pull, "--authfile", "named.json"], { docker: directory(wrong) })).toMatchObject({
      status: 0,
    });
    const empty = join(home, "empty.json");
    writeFileSync(empty, "{}");
    expect(await kiln([...pull, "--authfile", empty], { docker: directory(right) })).toMatchObject({ status: 1 });
    expect(await kiln([...pushed, "--authfile", empty], { docker: directory(right) })).toMatchObject({ status: 1 });
    const inVariable = { DOCKER_AUTH_CONFIG: right };
    expect(await kiln(pull, { docker: directory(wrong), env: inVariable })).toMatchObject({ status: 0 });
  });

  test.each([
    { name: "refreshed", refuses: undefined },
    { name: "taken as a password where no refresh is known", refuses: 404 },
  ])("an identity token is $name", async ({ refuses }) => {
    await using registry = await startTestRegistry({ auth: { ...TOKEN, password: "refresh" } });
    const entry = { auth: auth("me:"), identitytoken: "refresh" };
    const docker = directory(JSON.stringify({ auths: { [registry.host]: entry } }));
    if (refuses !== undefined) {
      registry.fail({ method: "POST", path: /^\/token/, times: 99, kind: { kind: "status", status: refuses } });
    }
    const image = `${registry.host}/team/app:1`;
    expect(await kiln(["build", "-q", "-t", image, "--push", "context"], { docker })).toMatchObject({ status: 0 });
  });

  test("a link stays a link, and a file that cannot be read is left alone", async () => {
    await using registry = await startTestRegistry({ auth: BASIC });
    const docker = directory();
    writeFileSync(join(home, "elsewhere.json"), "{}");
    symlinkSync(join(home, "elsewhere.json"), join(docker, "config.json"));
    const login = ["login", "-u", "me", "-p", "right", registry.host];
    expect(await kiln(login, { docker })).toMatchObject({ status: 0 });
    expect(lstatSync(join(docker, "config.json")).isSymbolicLink()).toBe(true);
    expect(accountsIn(join(home, "elsewhere.json"))).toMatchObject({ auths: { [registry.host]: {} } });
    const half = directory('{"auths":{"a.exam');
    expect(await kiln(login, { docker: half })).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("it is not a JSON object"),
    });
    expect(readFileSync(join(half, "config.json"), "utf8")).toBe('{"auths":{"a.exam');
  });

  test.each([
    { argv: ["login", "a.example"], says: "standard input is no terminal" },
    { argv: ["login", "--password-stdin", "a.example"], says: "without a user" },
    { argv: ["login", "-u", "a", "-p", "b", "--password-stdin"], says: "together" },
    { argv: ["login", "-u", "a", "--password-stdin"], says: "the password is empty" },
    { argv: ["login", "-u", "a", "-p", "b", "not a host"], says: "it is not the name of a registry" },
    { argv: ["pull", "--creds", ":x", "a.example/b"], says: "it has no user" },
  ])("a usage error: kiln $argv", async ({ argv, says }) => {
    const refused = await kiln(argv, { docker: directory() });
    expect(refused).toMatchObject({ status: 125, stderr: expect.stringContaining(says) });
  });
});
