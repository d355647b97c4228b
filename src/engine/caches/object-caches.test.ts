import { createHash, randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { importBusybox, noBusybox } from "../../../test/support/busybox.ts";
import { cannotRun, testEnvironment } from "../../../test/support/environment.ts";
import { type GhaServer, startGhaServer } from "../../../test/support/gha-server.ts";
import { type S3Server, startS3Server } from "../../../test/support/s3-server.ts";
import { cacheOptions } from "../../cli/flags/cache.ts";
import { build } from "../build.ts";

const skip = cannotRun ?? noBusybox;
if (skip !== undefined) console.warn(`skipped: cache mounts in S3: ${skip}`);
const SECRET = "tops3cr3t/+key";
const SESSION = "s3ssion-t0ken==";
const signal = new AbortController().signal;
let home = "";
let s3: S3Server;
let gha: GhaServer;
let count = 0;
let token = "";

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "kiln-objects-"));
  s3 = await startS3Server("ci", "eu-central-1", { id: "AKIDTEST", secret: SECRET, token: SESSION });
  gha = await startGhaServer();
  token = gha.token("refs/heads/feature");
});
afterAll(async () => {
  await s3[Symbol.asyncDispose]();
  await gha[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
});
beforeEach(() => {
  s3.clear();
  gha.clear();
});

async function context(files: Readonly<Record<string, string | Buffer>> = {}): Promise<string> {
  const directory = join(home, `context-${(count += 1)}`);
  await mkdir(directory);
  const all = {
    "big.bin": randomBytes(1000),
    "small.txt": randomBytes(8).toString("hex"),
    Dockerfile: "FROM scratch AS a\nCOPY big.bin /\nFROM scratch\nCOPY --from=a /big.bin /b\nCOPY small.txt /\n",
    ...files,
  };
  for (const [name, content] of Object.entries(all)) await writeFile(join(directory, name), content);
  return directory;
}

interface Run {
  readonly from?: string;
  readonly to?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly machine?: string;
  readonly offline?: boolean;
}

interface Seen {
  readonly ran: readonly string[];
  readonly said: readonly string[];
  readonly imageId: string | undefined;
  /** All that was reported, as text. */
  readonly all: string;
}

/** Builds on a machine with a store of its own. */
async function run(directory: string, { from, to, env = {}, machine, offline }: Run): Promise<Seen> {
  const events: unknown[] = [];
  const ran: string[] = [];
  const said: string[] = [];
  const store = join(home, machine ?? `machine-${(count += 1)}`);
  const result = await build(
    {
      context: directory,
      cache: cacheOptions({ from: [from ?? []].flat(), to: [to ?? []].flat(), mode: undefined, trust: [] }),
      ...(offline === undefined ? {} : { offline }),
      progress: (event) => {
        events.push(event);
        if (event.kind === "step-miss") ran.push(event.name.replace(/^\[.*?\] /, ""));
        if (event.kind === "notice") said.push(`${event.level}: ${event.message}; ${event.hint ?? ""}`);
      },
    },
    testEnvironment(store, { workingDirectory: home, env }),
    signal,
  );
  return { ran, said, imageId: result.imageId, all: JSON.stringify(events) };
}

const awsEnv = { AWS_ACCESS_KEY_ID: "AKIDTEST", AWS_SECRET_ACCESS_KEY: SECRET, AWS_SESSION_TOKEN: SESSION };
const runnerEnv = (): Record<string, string> => ({ ACTIONS_RUNTIME_TOKEN: token, ACTIONS_RESULTS_URL: gha.url });
const newS3 = (): string =>
  `type=s3,bucket=ci,region=eu-central-1,endpoint_url=${s3.endpoint},name=cache-${(count += 1)},prefix=a b/`;
const newGha = (version: 1 | 2): string => `type=gha,scope=scope-${(count += 1)},version=${version},url=${gha.url}`;
const kinds = [
  { kind: "s3", place: newS3, env: () => awsEnv },
  { kind: "gha, version 2", place: () => newGha(2), env: runnerEnv },
  { kind: "gha, version 1", place: () => newGha(1), env: runnerEnv },
];

describe.each(kinds)("a cache of type $kind", ({ kind, place, env: environment }) => {
  test("makes a cold machine's build a cached one", async () => {
    const [directory, cache, env] = [await context(), place(), environment()];
    const first = await run(directory, { to: `${cache},mode=max`, env });
    expect(first.said).toEqual([]);
    expect(first.ran).toHaveLength(3);
    const cold = await run(directory, { from: cache, env });
    expect(cold).toMatchObject({ ran: [], said: [], imageId: first.imageId });
    expect(first.all + cold.all).not.toContain(SECRET);
    expect(first.all + cold.all).not.toContain(token);
  });

  test("gives a changed build the layers it stands on, and a later one without the flag too", async () => {
    const [directory, cache, env] = [await context(), place(), environment()];
    await run(directory, { to: `${cache},mode=max`, env });
    const machine = `machine-${(count += 1)}`;
    await run(directory, { from: cache, env, machine });
    const files = await readFile(join(directory, "Dockerfile"), "utf8");
    const next = files.replace(/scratch\nCOPY --from/, "scratch AS b\nCOPY --from");
    await writeFile(join(directory, "Dockerfile"), `${next}FROM scratch\nCOPY --from=b /b /c\n`);
    const later = await run(directory, { env, machine });
    expect(later.ran).toEqual(["COPY --from=b /b /c"]);
    expect(later.said).toEqual([]);
  });

  test("that is not there yet is said once", async () => {
    const { said } = await run(await context(), { from: place(), env: environment() });
    expect(said.map((text) => text.replace(/".*"/, "X"))).toEqual(["info: There is no cache at X yet; "]);
  });

  test("takes large layers in parts", async () => {
    const bytes = kind === "s3" ? 17 << 20 : 33 << 20;
    const dockerfile = "FROM scratch\nCOPY big.bin /\n";
    const directory = await context({ "big.bin": randomBytes(bytes), Dockerfile: dockerfile });
    const [cache, env] = [place(), environment()];
    await run(directory, { to: `${cache},compression=uncompressed`, env });
    await writeFile(
      join(directory, "Dockerfile"),
      "FROM scratch AS a\nCOPY big.bin /\nFROM scratch\nCOPY --from=a /big.bin /d\n",
    );
    const cold = await run(directory, { from: cache, env });
    expect(cold).toMatchObject({ ran: ["COPY --from=a /big.bin /d"], said: [] });
    expect(s3.uploads.size).toBe(0);
  });

  test("of two writers at one time keeps the results of both", async () => {
    const [cache, env] = [place(), environment()];
    const both = [await context(), await context()];
    await Promise.all(both.map((directory) => run(directory, { to: cache, env })));
    for (const directory of both)
      expect(await run(directory, { from: cache, env })).toMatchObject({ ran: [], said: [] });
  });

  test("is not asked when the build is to be offline", async () => {
    const { said } = await run(await context(), { from: place(), env: environment(), offline: true });
    expect(said).toHaveLength(1);
    expect(said[0]).toContain("the build is to be offline");
    expect([...s3.requests, ...gha.requests]).toEqual([]);
  });

  test.each([401, 403, 404, 418])("that answers %i is one warning, and a failed export", async (status) => {
    const [directory, cache, env] = [await context(), place(), environment()];
    const body = `<Error><Code>No</Code><Message>${kind === "s3" ? SECRET : token}</Message></Error>`;
    const failing = (): void => {
      s3.fail(/./, { status, body, times: 99 });
      gha.fail(/./, { status, body, times: 99 });
    };
    failing();
    const cold = await run(directory, { from: cache, env });
    expect(cold.ran).toHaveLength(3);
    // An answer of 404 is what a store without a cache gives.
    const isMissing = status === 404 && cold.said[0]?.startsWith("info:") === true;
    if (!isMissing)
      expect(cold.said).toEqual([expect.stringMatching(new RegExp(`^warning: .*answered.*${status}|JSON`))]);
    const exported = run(directory, { to: cache, env });
    await expect(exported).rejects.toThrow(/^Cannot export the cache to/);
    await expect(exported).rejects.not.toThrow(SECRET);
    const ignoring = await run(directory, { to: `${cache},ignore-error=true`, env });
    expect(ignoring.said).toEqual([expect.stringMatching(/^warning: Cannot export the cache to/)]);
    expect(cold.all + ignoring.all).not.toContain(SECRET);
    expect(cold.all + ignoring.all).not.toContain(token);
  });

  test("survives a cut upload and a server in trouble", async () => {
    const [directory, cache, env] = [await context(), place(), environment()];
    s3.fail(/^PUT /, {});
    s3.fail(/^(?:PUT|HEAD) /, { status: 503 });
    gha.fail(/^PUT |PATCH /, { status: 500 });
    gha.fail(/DownloadURL|cache\?/, { status: 503 });
    const first = await run(directory, { to: cache, env });
    expect(first.said).toEqual([]);
    expect(await run(directory, { from: cache, env })).toMatchObject({ ran: [], said: [] });
  });

  test("runs a step whose layer is gone", async () => {
    const [directory, cache, env] = [await context(), place(), environment()];
    await run(directory, { to: `${cache},mode=max`, env });
    const changed = "FROM scratch AS a\nCOPY big.bin /\nFROM scratch\nCOPY --from=a /big.bin /e\n";
    await writeFile(join(directory, "Dockerfile"), changed);
    s3.fail(/^GET .*blobs/, { status: 404, times: 99 });
    gha.fail(/^GET .*down/, { status: 404, times: 99 });
    const cold = await run(directory, { from: cache, env });
    expect(cold.ran.length).toBeGreaterThan(0);
    expect(cold.imageId).toBeDefined();
  });
});

describe("a cache in S3", () => {
  test("is read with the keys of the attributes", async () => {
    const [directory, cache] = [await context(), newS3()];
    const keys = `access_key_id=AKIDTEST,secret_access_key=${SECRET},session_token=${SESSION}`;
    const first = await run(directory, { to: `${cache},${keys}` });
    expect(first.all).not.toContain(SECRET);
    expect(first.all).not.toContain(SESSION);
    expect(await run(directory, { from: `${cache},${keys}` })).toMatchObject({ ran: [], said: [] });
  });

  test.each([
    {
      why: "a wrong secret",
      env: { ...awsEnv, AWS_SECRET_ACCESS_KEY: "wr0ng" },
      more: "",
      hint: "not that of the key",
    },
    { why: "an ended session", env: { ...awsEnv, AWS_SESSION_TOKEN: "0ld" }, more: "", hint: "get new credentials" },
    { why: "another region", env: awsEnv, more: "region=us-east-1", hint: "change region=" },
    { why: "no credentials", env: {}, more: "", hint: "AWS_ACCESS_KEY_ID" },
  ])("with $why is one warning with what to do", async ({ env, more, hint }) => {
    const cache = newS3().replace("region=eu-central-1", more === "" ? "region=eu-central-1" : more);
    const directory = await context();
    const exported = run(directory, { to: cache, env });
    await expect(exported).rejects.toMatchObject({ hint: expect.stringContaining(hint) as unknown });
    const { said, all } = await run(directory, { from: cache, env });
    expect(said).toHaveLength(1);
    expect(all).not.toMatch(/wr0ng|0ld/);
  });

  test("says when BuildKit has one under the name", async () => {
    s3.put("manifests/buildkit", '{"layers":[],"records":[]}');
    const from = `type=s3,bucket=ci,region=eu-central-1,endpoint_url=${s3.endpoint}`;
    const { said } = await run(await context(), { from, env: awsEnv });
    expect(said).toEqual([expect.stringMatching(/"s3:\/\/ci\/manifests\/buildkit": BuildKit wrote it/)]);
  });

  test("under several names is written to all, and found objects of some age are written anew", async () => {
    const [directory, cache] = [await context(), newS3()];
    const before = new Set(s3.objects.keys());
    const both = cache.replace(/name=[^,]*/, "name=one;two,touch_refresh=1h");
    await run(directory, { to: both, env: awsEnv, machine: "touching" });
    const keys = [...s3.objects.keys()].filter((key) => key.includes("/one.kiln/"));
    expect(keys.length).toBeGreaterThan(2);
    const ours = new Set([...s3.objects.keys()].filter((key) => key.includes("blobs/") && !before.has(key)));
    expect(ours.size).toBeGreaterThan(0);
    expect(keys.every((key) => s3.objects.has(key.replace("/one.", "/two.")))).toBe(true);
    const old = Date.now() - 7_200_000;
    for (const object of s3.objects.values()) object.changedMs = old;
    await run(directory, { to: both, env: awsEnv, machine: "touching" });
    // The entries that the export asks for, and their blobs.
    const inUse = (key: string): boolean => /\/one\.kiln\/d-\w+\.json$/.test(key) || ours.has(key);
    expect([...s3.objects].filter(([key, { changedMs }]) => inUse(key) && changedMs === old)).toEqual([]);
  });

  test.skipIf(skip !== undefined)("has the pieces of a cache mount again after they have expired", async () => {
    const maker = "mount-maker";
    await importBusybox(testEnvironment(join(home, maker)));
    const lines = ["FROM busybox", "RUN --mount=type=cache,target=/c echo kept > /c/a", ""];
    const directory = await context({ Dockerfile: lines.join("\n") });
    const cache = newS3();
    await run(directory, { to: `${cache},mounts=true`, env: awsEnv, machine: maker });
    s3.expire(/blobs/);
    await writeFile(join(directory, "Dockerfile"), lines.join("\n").replace("echo kept >", "cat"));
    await run(directory, { to: `${cache},mounts=true`, env: awsEnv, machine: maker });
    const cold = "mount-cold";
    await importBusybox(testEnvironment(join(home, cold)));
    await writeFile(join(directory, "Dockerfile"), lines.join("\n").replace("echo kept >", "cat /c/a"));
    expect((await run(directory, { from: cache, env: awsEnv, machine: cold })).said).toEqual([]);
  });

  test("whose parts are refused leaves no upload behind", async () => {
    const directory = await context({ "big.bin": randomBytes(17 << 20), Dockerfile: "FROM scratch\nCOPY big.bin /\n" });
    s3.fail(/PUT .*partNumber=2/, { status: 400, body: "<Error><Code>EntityTooSmall</Code></Error>", times: 9 });
    const to = `${newS3()},compression=uncompressed`;
    await expect(run(directory, { to, env: awsEnv })).rejects.toThrow("S3 answered 400: EntityTooSmall");
    expect(s3.uploads.size).toBe(0);
  });
});

describe("a cache in GitHub's cache service", () => {
  test("outside of a workflow is one warning, also for an export", async () => {
    const { said } = await run(await context(), { from: "type=gha", to: "type=gha,mode=max" });
    expect(said).toHaveLength(2);
    expect(said.every((text) => text.startsWith("warning:") && text.includes("ACTIONS_RUNTIME_TOKEN"))).toBe(true);
  });

  test("of the default branch is used by others, and theirs not by it", async () => {
    const [main, feature] = [gha.token("refs/heads/main"), gha.token("refs/heads/feature")];
    const [directory, other, cache] = [await context(), await context(), newGha(2)];
    const env = (own: string): Record<string, string> => ({ ...runnerEnv(), ACTIONS_RUNTIME_TOKEN: own });
    await run(directory, { to: cache, env: env(main) });
    await run(other, { to: cache, env: env(feature) });
    expect(await run(directory, { from: cache, env: env(feature) })).toMatchObject({ ran: [] });
    expect((await run(other, { from: cache, env: env(main) })).ran).not.toEqual([]);
  });

  test.each([1, 2] as const)("with a token that may only read fails an export clearly, version %i", async (version) => {
    const env = { ...runnerEnv(), ACTIONS_RUNTIME_TOKEN: gha.token("refs/pull/1/merge", { write: false }) };
    await expect(run(await context(), { to: newGha(version), env })).rejects.toMatchObject({
      message: expect.stringContaining("cache write denied") as unknown,
      hint: expect.stringContaining("a pull request from a fork may only read the cache") as unknown,
    });
  });

  test("with an expired token asks nothing", async () => {
    const expired = gha.token("refs/heads/main", { expiresMs: Date.UTC(2020, 0, 1) });
    const { said } = await run(await context(), {
      from: newGha(2),
      env: { ...runnerEnv(), ACTIONS_RUNTIME_TOKEN: expired },
    });
    expect(said).toEqual([expect.stringMatching(/the token expired at 2020-01-01T00:00:00.000Z/)]);
    expect(gha.requests).toEqual([]);
  });

  test("that does not answer in time is given up", async () => {
    gha.fail(/./, { times: 99 });
    const started = Date.now();
    const { said } = await run(await context(), { from: `${newGha(2)},timeout=1s`, env: runnerEnv() });
    expect(said).toEqual([expect.stringMatching(/took longer than 1 s; timeout= allows for more/)]);
    expect(Date.now() - started).toBeLessThan(10_000);
  });

  test("says when BuildKit has one in the scope", async () => {
    const digest = createHash("sha256").update("refs/heads/feature").digest("hex").slice(0, 8);
    const version = createHash("sha256").update("|go-actionscache-1.0").digest("hex");
    const key = `index-theirs-1-${digest}#3`;
    gha.entries.push({ key, version, branch: "refs/heads/feature", bytes: Buffer.from("{}") });
    const from = `type=gha,scope=theirs,url_v2=${gha.url}`;
    const { said } = await run(await context(), { from, env: runnerEnv() });
    expect(said).toEqual([expect.stringMatching(/"gha:theirs": BuildKit wrote it/)]);
  });
});
