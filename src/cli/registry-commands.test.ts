import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cannotRun, testEnvironment } from "../../test/support/environment.ts";
import { type RegistryAuth, startTestRegistry } from "../../test/support/registry.ts";
import { digestOf } from "../../lib/core/digest.ts";
import { main } from "./main.ts";

if (cannotRun !== undefined) console.warn(`skipped: pull and push: ${cannotRun}`);

describe.skipIf(cannotRun !== undefined)("pull and push", () => {
  let home = "";

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "kiln-cli-"));
    await mkdir(join(home, "context"));
    await writeFile(join(home, "context/Dockerfile"), "FROM scratch\nARG TARGETARCH\nCOPY Dockerfile /$TARGETARCH\n");
  });
  afterAll(() => rm(home, { recursive: true, force: true }));

  /** One command line in this process, with a store of its own by name. */
  const kiln = async (store: string, argv: readonly string[], credentials?: string, env = {}) => {
    const environment = testEnvironment(join(home, store));
    await mkdir(join(home, "docker"), { recursive: true });
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const config = join(await mkdtemp(join(home, "docker/")), "config.json");
    await writeFile(config, credentials ?? "{}");
    const status = await main(["--root", environment.root, ...argv], {
      ...environment,
      env: { DOCKER_CONFIG: join(config, ".."), ...env },
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
    const text = (stream: PassThrough): string => String(stream.read() ?? "");
    return { status, stdout: text(stdout).trim(), stderr: text(stderr) };
  };
  const login = (host: string, password: string): string =>
    JSON.stringify({ auths: { [host]: { auth: Buffer.from(`me:${password}`).toString("base64") } } });

  const ways: readonly { readonly name: string; readonly auth: RegistryAuth }[] = [
    { name: "basic", auth: { kind: "basic", username: "me", password: "right" } },
    { name: "token", auth: { kind: "token", username: "me", password: "right" } },
  ];

  test.each(ways)("with $name credentials, and not with wrong ones", async ({ name, auth }) => {
    await using registry = await startTestRegistry({ auth });
    const image = `${registry.host}/team/app:1`;
    await kiln(`${name}-from`, ["build", "-q", "-t", image, "context"]);
    const refused = await kiln(`${name}-from`, ["push", "-q", image], login(registry.host, "wrong"));
    expect(refused).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^error\[registry\/(unauthorized|denied)\]/),
    });
    const pushed = await kiln(`${name}-from`, ["push", "-q", image], login(registry.host, "right"));
    expect(pushed).toMatchObject({ status: 0, stderr: "", stdout: expect.stringMatching(/^sha256:/) });
    expect(await kiln(`${name}-to`, ["pull", "-q", image])).toMatchObject({ status: 1 });
    const pulled = await kiln(`${name}-to`, ["pull", "-q", image], login(registry.host, "right"));
    expect(pulled).toMatchObject({ status: 0, stdout: pushed.stdout });
  });

  test.each([
    { name: "basic", auth: { kind: "basic", username: "me", password: "correct-horse" } },
    { name: "token", auth: { kind: "token", username: "me", password: "correct-horse" } },
  ] as const)("KILN_DEBUG tells the requests without $name credentials", async ({ name, auth }) => {
    await using registry = await startTestRegistry({ auth });
    const image = `${registry.host}/team/app:1`;
    await kiln(`${name}-debug`, ["build", "-q", "-t", image, "context"]);
    const account = login(registry.host, "correct-horse");
    const { status, stderr } = await kiln(`${name}-debug`, ["push", "-q", image], account, { KILN_DEBUG: "*" });
    expect(status).toBe(0);
    expect(stderr).toMatch(
      new RegExp(`^ *[\\d.]+ ms registry: PUT http://${registry.host}/v2/team/app/manifests/1: 201$`, "m"),
    );
    expect(stderr).toContain("export: sent sha256:");
    const secrets = ["correct-horse", Buffer.from("me:correct-horse").toString("base64"), "Bearer", "Basic", "?"];
    expect(secrets.filter((secret) => stderr.includes(secret))).toEqual([]);
  });

  test("a tag that is not there names the image", async () => {
    await using registry = await startTestRegistry();
    const absent = await kiln("absent", ["pull", `${registry.host}/team/app:9`]);
    expect(absent.status).toBe(1);
    expect(absent.stderr).toContain("error[registry/not-found]");
    expect(absent.stderr).toContain("team/app:9");
    expect(await kiln("absent", ["push", `${registry.host}/team/app:9`])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("error[image/not-found]"),
    });
  });

  test("an index goes up whole, and the platform that is asked for comes down", async () => {
    await using registry = await startTestRegistry();
    const image = `${registry.host}/team/many:1`;
    await kiln("many", ["build", "-q", "--platform", "linux/amd64,linux/arm64", "-t", image, "context"]);
    const pushed = await kiln("many", ["push", "-q", image]);
    expect(pushed.status, pushed.stderr).toBe(0);
    const index = registry.manifests.get("team/many:1")?.bytes.toString() ?? "";
    expect(index).toContain('"architecture": "arm64"');
    const one = await kiln("many", ["save", "--platform", "linux/arm64", "-o", join(home, "one.tar"), image]);
    expect(one).toMatchObject({ status: 0, stderr: "" });
    expect(await kiln("many", ["save", "-o", join(home, "both.tar"), image])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("--platform"),
    });
    const pulled = await kiln("one", ["pull", "-q", "--platform", "linux/arm64", image]);
    expect(pulled.status, pulled.stderr).toBe(0);
    expect(index).toContain(pulled.stdout);
    const other = await kiln("one", ["pull", "-q", "--platform", "linux/s390x", image]);
    expect(other).toMatchObject({ status: 1, stderr: expect.stringContaining("error[image/platform]") });
  });

  test("an image from another builder keeps its digests on its way through", async () => {
    await using registry = await startTestRegistry();
    const tar = spawnSync("tar", ["-c", "-C", home, "context"]).stdout;
    const [diffId, layer] = [digestOf(tar), gzipSync(tar)];
    const config = registry.addBlob(
      `{"rootfs":{"type":"layers","diff_ids":["${diffId}"]}, "os":"linux","architecture":"amd64","config":{"Cmd":null,"WorkingDir":""}}`,
    );
    const docker = "application/vnd.docker";
    const manifest = `{"schemaVersion":2, "mediaType":"${docker}.distribution.manifest.v2+json",
      "config":{"mediaType":"${docker}.container.image.v1+json","digest":"${config.digest}","size":${config.size}},
      "layers":[{"mediaType":"${docker}.image.rootfs.diff.tar.gzip",${JSON.stringify(registry.addBlob(layer)).slice(1)}]}`;
    registry.addManifest("their/app", "1", `${docker}.distribution.manifest.v2+json`, manifest);
    const [theirs, ours] = [`${registry.host}/their/app:1`, `${registry.host}/our/app:1`];
    await kiln("through", ["pull", "-q", "--platform", "linux/amd64", theirs]);
    await kiln("through", ["tag", theirs, ours]);
    const pushed = await kiln("through", ["push", "-q", ours]);
    expect(pushed.stdout, pushed.stderr).toBe(digestOf(manifest));
    await kiln("through", ["save", "-o", join(home, "through.tar"), theirs]);
    expect((await kiln("again", ["load", "-i", join(home, "through.tar")])).status).toBe(0);
    expect((await kiln("again", ["images", "-q", "--no-trunc"])).stdout).toBe(config.digest);
  });

  test.each([
    { argv: ["buidl", "."], says: "did you mean build?" },
    { argv: ["build", "--tga", "x", "."], says: "did you mean --tag?" },
    { argv: ["build"], says: "please specify build context" },
    { argv: ["build", "--call", "outline,format=xml", "."], says: 'Cannot use --call "format=xml"' },
    { argv: ["pull"], says: "missing required argument" },
    { argv: ["images", "--format", "wide"], says: "use table, json, or a Go template" },
  ])("a usage error ends with 125: kiln $argv", async ({ argv, says }) => {
    expect(await kiln("usage", argv)).toMatchObject({ status: 125, stderr: expect.stringContaining(says) });
  });

  test("a name that cannot be given is no usage error", async () => {
    const argv = ["tag", "a", `b@sha256:${"0".repeat(64)}`];
    expect(await kiln("usage", argv)).toMatchObject({ status: 1, stderr: expect.stringContaining("it has a digest") });
  });

  test.each("build pull push images inspect history tag rmi save load import run".split(" "))(
    "kiln %s --help",
    async (command) => {
      const help = await kiln("help", [command, "--help"]);
      expect(help).toMatchObject({ status: 0, stderr: "", stdout: expect.stringContaining(`Usage: kiln ${command}`) });
      expect(help.stdout).not.toContain("(default: []");
      expect(help.stdout).not.toContain("undefined");
    },
  );
});
