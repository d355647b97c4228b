import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { KANIKO_FLAGS } from "./flags.ts";
import { type ExecutorPlan, translate } from "./translate.ts";
import { readKanikoWords } from "./words.ts";

const PUSH = "-d r.example/team/app:1";

function planOf(line: string, env: Readonly<Record<string, string>> = {}): ExecutorPlan {
  const words = line === "" ? [] : line.split(" ");
  const exists = (path: string): boolean => path === "/here/own/Dockerfile";
  return translate(readKanikoWords(words), { env, workingDirectory: "/here", exists });
}

/** The words that a plain push consists of, before and after what a case adds. */
const BEFORE = ["build", "--progress=plain", "--tag=r.example/team/app:1"];
const OUT = "--output=type=registry";

describe("kaniko's flags become kiln's words", () => {
  test.each<{
    readonly line: string;
    readonly words: readonly string[];
    readonly env?: Readonly<Record<string, string>>;
  }>([
    { line: PUSH, words: [...BEFORE, OUT, "/workspace/"] },
    { line: "--destination=r.example/team/app:1 --context=dir:///src", words: [...BEFORE, OUT, "/src"] },
    { line: "-dr.example/team/app:1 -c /src", words: [...BEFORE, OUT, "/src"] },
    { line: `${PUSH} -d other/app -c .`, words: [...BEFORE, "--tag=other/app", OUT, "."] },
    { line: "--no-push -c /src", words: ["build", "--progress=plain", "/src"] },
    { line: `${PUSH} --no-push=false -c /src`, words: [...BEFORE, OUT, "/src"] },
    {
      line: `${PUSH} --no-push --tar-path out.tar -c /src`,
      words: [...BEFORE, "--output=type=docker,dest=out.tar", "/src"],
    },
    {
      line: `${PUSH} --tarPath=a,b.tar -c /src`,
      words: [...BEFORE, OUT, '--output=type=docker,"dest=a,b.tar"', "/src"],
    },
    {
      line: `${PUSH} --oci-layout-path=/oci -c /src`,
      words: [...BEFORE, OUT, "--output=type=oci,tar=false,dest=/oci", "/src"],
    },
    {
      line: `${PUSH} --compression=zstd --compression-level 3 -c /s`,
      words: [...BEFORE, `${OUT},compression=zstd,compression-level=3`, "/s"],
    },
    {
      line: `${PUSH} -c /src --context-sub-path app -f Dockerfile.x`,
      words: [...BEFORE, OUT, "--file=/src/app/Dockerfile.x", "/src/app"],
    },
    { line: `${PUSH} -c /src -f own/Dockerfile`, words: [...BEFORE, OUT, "--file=own/Dockerfile", "/src"] },
    { line: `${PUSH} -c tar://stdin`, words: [...BEFORE, OUT, "-"] },
    { line: `${PUSH} -c https://host/c.tar.gz`, words: [...BEFORE, OUT, "https://host/c.tar.gz"] },
    {
      line: `${PUSH} -c git://host/a/b.git#refs/heads/x`,
      words: [...BEFORE, OUT, "https://host/a/b.git#refs/heads/x"],
    },
    { line: `${PUSH} -c git://host/a/b.git#refs/heads/x#0123`, words: [...BEFORE, OUT, "https://host/a/b.git#0123"] },
    {
      line: `${PUSH} -c git://host/b.git --git branch=dev,single-branch=true --context-sub-path sub`,
      words: [...BEFORE, OUT, "https://host/b.git#dev:sub"],
    },
    {
      line: `${PUSH} -c git://host/b.git`,
      env: { GIT_PULL_METHOD: "http" },
      words: [...BEFORE, OUT, "http://host/b.git"],
    },
    {
      line: `${PUSH} -c git://me:pw@host/b.git`,
      words: [...BEFORE, OUT, "--secret=id=GIT_AUTH_HEADER,env=KILN_EXECUTOR_GIT", "https://host/b.git"],
    },
    {
      line: `${PUSH} --build-arg A=1 --build-arg B --label x=y --target t --customPlatform linux/arm64 --reproducible --single-snapshot -c /s`,
      words: [
        ...BEFORE,
        "--build-arg=A=1",
        "--build-arg=B",
        "--label=x=y",
        "--target=t",
        "--platform=linux/arm64",
        "--reproducible",
        "--squash",
        OUT,
        "/s",
      ],
    },
    {
      line: `${PUSH} --cache=true -c /s`,
      words: [
        ...BEFORE,
        OUT,
        "--cache-from=type=registry,ref=r.example/team/app/cache",
        "--cache-to=type=registry,ref=r.example/team/app/cache,mode=max",
        "/s",
      ],
    },
    {
      line: `${PUSH} --cache --cache-repo r/c --no-push-cache -c /s`,
      words: [...BEFORE, OUT, "--cache-from=type=registry,ref=r/c", "/s"],
    },
    {
      line: `${PUSH} --cache --cache-repo=oci:/c --compressed-caching=false -c /s`,
      words: [
        ...BEFORE,
        OUT,
        "--cache-from=type=local,src=/c",
        "--cache-to=type=local,dest=/c,mode=max,compression=uncompressed",
        "/s",
      ],
    },
    { line: `${PUSH} --cache=false --cache-repo r/c -c /s`, words: [...BEFORE, OUT, "/s"] },
    { line: `${PUSH} --kaniko-dir /big -c /s`, words: ["--root=/big/kiln", ...BEFORE, OUT, "/s"] },
    { line: `${PUSH} -c /s`, env: { KANIKO_DIR: "/big" }, words: ["--root=/big/kiln", ...BEFORE, OUT, "/s"] },
    { line: `${PUSH} -c /s`, env: { KANIKO_DIR: "/big", KILN_ROOT: "/r" }, words: [...BEFORE, OUT, "/s"] },
    { line: "--no-push -c /s --log-format json", words: ["build", "--progress=rawjson", "/s"] },
    { line: "--no-push -c /s -v error", words: ["build", "--progress=quiet", "/s"] },
  ])("$line", ({ line, words, env }) => {
    expect(planOf(line, env).words).toEqual(words);
  });
});

test.each([
  { line: "--insecure", insecure: ["r.example"] },
  { line: "--skip-tls-verify --cache-repo c.example/x", insecure: ["r.example", "c.example"] },
  { line: "--insecure-registry a --skip-tls-verify-registry b", insecure: ["a", "b"] },
  { line: "--insecure-pull", insecure: ["0.0.0.0/0", "::/0"] },
  { line: "--insecure=false", insecure: [] },
])("$line makes registries insecure", ({ line, insecure }) => {
  expect(planOf(`${PUSH} ${line}`).settings.insecure).toEqual(insecure);
});

test("mirrors, certificates and the account for git are settings of the build", () => {
  const line = `${PUSH} --registry-mirror m.example --registry-certificate r=/ca --registry-client-cert r=/c,/k -c git://host/x`;
  const { settings, env } = planOf(line, { KANIKO_REGISTRY_MIRROR: "first.example", GIT_TOKEN: "secret" });
  expect(settings).toEqual({
    mirrors: ["https://first.example", "https://m.example"],
    insecure: [],
    authorities: [["r", "/ca"]],
    clients: [["r", "/c", "/k"]],
  });
  expect(env).toEqual({ KILN_EXECUTOR_GIT: `basic ${Buffer.from("secret:").toString("base64")}` });
});

test("files for digests are remembered by what they hold", () => {
  const line = "--digest-file=/d --image-name-with-digest-file /n --image-name-tag-with-digest-file=/t";
  expect(planOf(`${PUSH} ${line}`).digestFiles).toEqual([
    { path: "/d", holds: "digest" },
    { path: "/n", holds: "names" },
    { path: "/t", holds: "tagged-names" },
  ]);
});

test("a flag without a meaning is one line", () => {
  const { notes, words } = planOf(
    `${PUSH} --snapshotMode=redo --use-new-run --push-retry 3 --cleanup --ignore-path /a --ignore-path /b`,
  );
  expect(notes.map((note) => note.split(":")[0])).toEqual([
    "--snapshot-mode means nothing here",
    "--use-new-run means nothing here",
    "--push-retry means nothing here",
    "--cleanup means nothing here",
    "--ignore-path means nothing here",
  ]);
  expect(words).toEqual([...BEFORE, OUT, "/workspace/"]);
});

test.each([
  { line: "-c /src", message: "you must provide --destination, or use --no-push" },
  { line: `${PUSH} --destinaton x`, message: "unknown flag --destinaton" },
  { line: `${PUSH} -x`, message: "unknown flag -x" },
  { line: `${PUSH} build .`, message: 'Cannot use the argument "build"' },
  { line: `${PUSH} --context`, message: "Cannot use --context: its value is missing" },
  { line: `${PUSH} --cache=maybe`, message: "Cannot use --cache=maybe" },
  { line: `${PUSH} -c s3://bucket/x`, message: 'Cannot read the context "s3://bucket/x"' },
  { line: `${PUSH} -b bucket`, message: "Cannot use --bucket here" },
  { line: `${PUSH} --registry-certificate nothing`, message: "Cannot use --registry-certificate" },
  { line: "--no-push --cache", message: "Cannot use --cache with --no-push" },
])("$line is an error with a way out", ({ line, message }) => {
  expect(() => planOf(line)).toThrow(
    expect.objectContaining({ code: "cli/usage", message: expect.stringContaining(message) }),
  );
});

test("a mistyped flag has a hint", () => {
  expect(() => planOf("--destinaton x")).toThrow(
    expect.objectContaining({ hint: expect.stringContaining("did you mean --destination?") }),
  );
});

test("the page for kaniko's users has the flags of the table", () => {
  const page = readFileSync(join(import.meta.dirname, "../../../docs/migrating.md"), "utf8");
  const section = page.slice(page.indexOf("\n## kaniko"), page.indexOf("\n## buildah"));
  expect(Object.keys(KANIKO_FLAGS).filter((name) => !new RegExp(`--${name}[\` ]`).test(section))).toEqual([]);
});
