import { expect, test } from "vitest";
import { digestOf } from "../../lib/core/digest.ts";
import type { Conversion } from "./conversion.ts";
import { AMD64, convert, failure, historyOf, imageConfig, opsOf, resolverOf, verticesOf } from "./convert.fixture.ts";

const ARM64 = { os: "linux", architecture: "arm64" };

test("FROM scratch and nothing else is an empty image", async () => {
  const conversion = await convert("FROM scratch\n");
  expect(conversion.target).toBeUndefined();
  expect(conversion.history).toEqual([]);
  expect(conversion.base).toBeUndefined();
  expect(conversion.image).toEqual({
    architecture: "amd64",
    os: "linux",
    config: { Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], WorkingDir: "/" },
    other: {},
  });
});

test("a base image passes on everything but its date, triggers and layers", async () => {
  const conversion = await convert("FROM rich\n");
  expect(conversion.image).toMatchInlineSnapshot(`
    {
      "architecture": "amd64",
      "author": "them",
      "config": {
        "Cmd": [
          "run",
        ],
        "Entrypoint": [
          "/entry",
        ],
        "Env": [
          "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
          "BASE=1",
        ],
        "ExposedPorts": {
          "1/tcp": {},
        },
        "Healthcheck": {
          "Test": [
            "CMD",
            "true",
          ],
        },
        "Labels": {
          "from": "base",
        },
        "Shell": [
          "/bin/bash",
          "-c",
        ],
        "StopSignal": "SIGINT",
        "User": "app",
        "Volumes": {
          "/data": {},
        },
        "WorkingDir": "/srv",
      },
      "os": "linux",
      "other": {},
    }
  `);
  expect(conversion.history).toEqual([{ kind: "base", entry: imageConfig().history[0] }]);
  expect(conversion.base?.vertex).toBe(conversion.target);
});

test.each([
  { name: "no instruction", text: "FROM scratch\n", want: { WorkingDir: "\\" } },
  { name: "a path with slashes", text: "FROM scratch\nWORKDIR /app/x\n", want: { WorkingDir: "\\app\\x" } },
  { name: "a drive", text: "# escape=`\nFROM scratch\nWORKDIR c:\\app\\..\\b\n", want: { WorkingDir: "\\b" } },
  { name: "a relative path", text: "FROM scratch\nWORKDIR /a\nWORKDIR b\n", want: { WorkingDir: "\\a\\b" } },
  { name: "a variable PATH", text: "FROM scratch\nENV PATH=c:/x\n", want: { WorkingDir: "\\", Env: ["PATH=c:/x"] } },
  {
    name: "a command in shell form",
    text: "FROM scratch\nCMD dir\n",
    want: { WorkingDir: "\\", Cmd: ["cmd", "/S", "/C", "dir"], ArgsEscaped: true },
  },
])("an image for Windows has its own paths and no PATH: $name", async ({ text, want }) => {
  const targetPlatform = { os: "windows", architecture: "amd64" };
  const { image } = await convert(text, { targetPlatform });
  expect(image.config).toEqual(want);
});

test("COPY for Windows takes its paths, and says which it cannot take", async () => {
  const options = { targetPlatform: { os: "windows", architecture: "amd64" } };
  const copy = (words: string): Promise<Conversion> => convert(`# escape=\`\nFROM scratch\n${words}\n`, options);
  const conversion = await copy("COPY a\\b c:\\dir\\");
  expect(opsOf(conversion, "file")[0]?.actions[0]).toMatchObject({ source: "a/b", destination: "/dir/" });
  for (const words of ["COPY a d:\\x", "COPY a \\\\server\\x", "WORKDIR c:"]) {
    expect((await failure(copy(words))).code).toBe("dockerfile/instruction");
  }
});

test("an image without PATH gets one, for itself and for commands", async () => {
  const resolver = resolverOf({ images: { "docker.io/library/bare:latest": { config: { Env: ["A=1"] } } } });
  const conversion = await convert("FROM bare\nRUN x\n", {}, resolver);
  const expected = ["A=1", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"];
  expect(conversion.image.config.Env).toEqual(expected);
  expect(opsOf(conversion, "exec")[0]?.env.flat()).toEqual(expected);
});

test("an image without layers equals scratch", async () => {
  const empty = { rootfs: { type: "layers" as const, diff_ids: [] }, history: [{ empty_layer: true }] };
  const conversion = await convert(
    "FROM void\n",
    {},
    resolverOf({ images: { "docker.io/library/void:latest": empty } }),
  );
  expect(conversion.target).toBeUndefined();
  expect(conversion.history).toHaveLength(1);
});

test("only images of stages that the target needs are resolved, once each", async () => {
  const resolver = resolverOf({});
  await convert("FROM nowhere AS a\nFROM busybox AS b\nFROM busybox\nCOPY --from=b /x /x\n", {}, resolver);
  expect(resolver.asked).toEqual([
    "docker.io/library/busybox:latest linux/amd64",
    "docker.io/library/busybox:latest linux/amd64",
  ]);
});

test.each([
  { name: "the last stage", target: undefined, last: "c" },
  { name: "a stage by name", target: "a", last: "a" },
  { name: "a stage in another case", target: "B", last: "b" },
])("builds $name", async ({ target, last }) => {
  const text = "FROM scratch AS a\nLABEL x=a\nFROM scratch AS b\nLABEL x=b\nFROM scratch AS c\nLABEL x=c\n";
  const conversion = await convert(text, { target });
  expect(conversion.image.config.Labels).toEqual({ x: last });
  expect(conversion.targetStage).toBe(last);
  expect(conversion.stageNames).toEqual(["a", "b", "c"]);
});

test("the error for an unknown target names the nearest stage and all stages", async () => {
  const error = await failure(convert("FROM scratch AS build\nFROM scratch AS app\n", { target: "biuld" }));
  expect([error.code, error.message, error.hint]).toEqual([
    "dockerfile/unknown-stage",
    'Cannot build target stage "biuld": no stage has that name (did you mean "build"?)',
    "the stages are: build, app",
  ]);
});

test("a target is a name, never a number", async () => {
  expect((await failure(convert("FROM scratch AS a\nFROM scratch\n", { target: "0" }))).code).toBe(
    "dockerfile/unknown-stage",
  );
});

test("a stage that continues another inherits configuration, variables, directory, shell and history", async () => {
  const text =
    'FROM busybox AS a\nARG V=1\nENV E=2\nWORKDIR /w\nSHELL ["/bin/x","-c"]\nUSER u\nFROM a\nRUN go\nLABEL v=$V e=$E\n';
  const conversion = await convert(text);
  expect(historyOf(conversion)).toEqual([
    "(ARG V=1)",
    "(ENV E=2)",
    "WORKDIR /w",
    "(SHELL [/bin/x -c])",
    "(USER u)",
    "RUN |1 V=1 /bin/x -c go # buildkit",
    "(LABEL v=1 e=2)",
  ]);
  expect(opsOf(conversion, "exec")[0]).toMatchObject({ cwd: "/w", user: "u", argv: ["/bin/x", "-c", "go"] });
});

test("a stage does not change the configuration of the stage it continues", async () => {
  const text = "FROM rich AS a\nFROM a AS b\nENV X=1\nLABEL y=1\nEXPOSE 9\nVOLUME /v\nRUN z\nFROM a\n";
  const { image, history } = await convert(text);
  expect(image.config.Env).not.toContain("X=1");
  expect([image.config.Labels, Object.keys(image.config.ExposedPorts ?? {}), history]).toEqual([
    { from: "base" },
    ["1/tcp"],
    [{ kind: "base", entry: imageConfig().history[0] }],
  ]);
});

test("equal work of two stages is one vertex", async () => {
  const text =
    "FROM busybox AS a\nRUN x\nFROM busybox AS b\nRUN x\nFROM scratch\nCOPY --from=a / /\nCOPY --from=b / /\n";
  expect(opsOf(await convert(text), "exec")).toHaveLength(1);
});

test("a stage name hides an image, and the text is compared as it is", async () => {
  const resolver = resolverOf({});
  await convert("FROM scratch AS busybox\nFROM busybox\n", {}, resolver);
  expect(resolver.asked).toEqual([]);
  const error = await failure(convert("FROM scratch AS build\nFROM Build\n"));
  expect([error.code, error.span?.start.line]).toEqual(["reference/malformed", 2]);
});

test("FROM sees only stages above it", async () => {
  const resolver = resolverOf({});
  await failure(convert("FROM later\nFROM scratch AS later\n", { target: undefined, stages: "all" }, resolver));
  expect(resolver.asked).toEqual(["docker.io/library/later:latest linux/amd64"]);
});

test("an image that is not found is an error at its name, with a similar one", async () => {
  const error = await failure(convert("FROM busybx\n"));
  expect([error.code, error.span?.start.column, error.hint]).toEqual(["image/not-found", 6, "did you mean busybox?"]);
});

test.each([
  { name: "an empty base", text: "ARG B\nFROM $B\n", code: "dockerfile/from", hint: /give it a value: ARG B=value/ },
  {
    name: "a misspelt base",
    text: "ARG BASE=scratch\nFROM $BAES\n",
    code: "dockerfile/from",
    hint: /did you mean \$BASE/,
  },
  { name: "an empty platform", text: "FROM --platform=$P scratch\n", code: "dockerfile/from", hint: /ARG P=value/ },
  {
    name: "a platform that is none",
    text: "FROM --platform=a/b/c/d scratch\n",
    code: "platform/malformed",
    hint: /linux\/amd64/,
  },
  {
    name: "a bad --from number",
    text: "FROM scratch\nCOPY --from=7 / /\n",
    code: "dockerfile/unknown-stage",
    hint: /this file has 1/,
  },
  {
    name: "a variable in --from",
    text: "FROM scratch\nCOPY --from=$A / /\n",
    code: "dockerfile/copy",
    hint: /FROM/i,
  },
])("$name is an error", async ({ text, code, hint }) => {
  const error = await failure(convert(text));
  expect(error.code).toBe(code);
  expect(error.hint).toMatch(hint);
  expect(error.span).toBeDefined();
});

test.each([
  { name: "itself", text: "FROM scratch AS a\nCOPY --from=a / /\n", path: "a -> a" },
  {
    name: "each other",
    text: "FROM scratch AS a\nCOPY --from=b / /\nFROM scratch AS b\nCOPY --from=a / /\n",
    path: "-> ",
  },
  {
    name: "in mounts",
    text: "FROM busybox AS a\nRUN --mount=from=b,target=/x y\nFROM busybox AS b\nCOPY --from=a / /\n",
    path: "-> ",
  },
])("stages that need $name are refused", async ({ text, path }) => {
  const error = await failure(convert(text));
  expect(error.code).toBe("dockerfile/circular-stage");
  expect(error.message).toContain(path);
});

test("copying from a stage below is an error at the stage name", async () => {
  const error = await failure(convert("FROM scratch AS a\nCOPY --from=b / /\nFROM scratch AS b\n", { target: "a" }));
  expect([error.code, error.message, error.span?.start.line, error.span?.start.column]).toEqual([
    "dockerfile/unknown-stage",
    'Cannot copy from stage "b": it needs to be defined before current stage "a"',
    2,
    error.span?.start.column,
  ]);
});

test("of two stages with one name, the last counts", async () => {
  const text = "FROM scratch AS a\nLABEL n=1\nFROM scratch AS a\nLABEL n=2\nFROM a\n";
  expect((await convert(text)).image.config.Labels).toEqual({ n: "2" });
});

test("a chain of thousands of stages does not overflow the stack", async () => {
  const text = `FROM scratch AS s0\n${Array.from({ length: 3000 }, (_, at) => `FROM s${at} AS s${at + 1}\nLABEL l=${at}\n`).join("")}`;
  expect((await convert(text)).image.config.Labels).toEqual({ l: "2999" });
});

test.each([
  { name: "no platform asked for", options: {}, asked: "linux/amd64", image: "amd64" },
  { name: "a target platform", options: { targetPlatform: ARM64 }, asked: "linux/arm64", image: "arm64" },
])("base images are asked for with $name", async ({ options, asked, image }) => {
  const resolver = resolverOf({ images: { "docker.io/library/multi:latest": { architecture: image } } });
  const conversion = await convert("FROM multi\n", options, resolver);
  expect(resolver.asked).toEqual([`docker.io/library/multi:latest ${asked}`]);
  expect([conversion.image.architecture, conversion.platform.architecture]).toEqual([image, image]);
});

test("a stage for the build platform still gives an image for the target", async () => {
  const resolver = resolverOf({});
  const text = "FROM --platform=$BUILDPLATFORM busybox\nARG TARGETARCH\nRUN x\n";
  const conversion = await convert(text, { targetPlatform: ARM64, multiPlatform: true }, resolver);
  expect(resolver.asked).toEqual(["docker.io/library/busybox:latest linux/amd64"]);
  expect([conversion.image.architecture, conversion.platform.architecture]).toEqual(["arm64", "amd64"]);
  expect([...conversion.meta.values()].map((meta) => meta.name.replace(/@.*/, ""))).toEqual([
    "[linux/amd64 1/2] FROM docker.io/library/busybox:latest",
    "[linux/amd64->arm64 2/2] RUN x",
  ]);
});

test("FROM scratch is for the target whatever --platform says", async () => {
  const conversion = await convert("FROM --platform=linux/s390x scratch\n", { targetPlatform: ARM64 });
  expect(conversion.platform).toEqual(ARM64);
});

test("without a target platform, a foreign image that runs here decides the platform", async () => {
  const images = { "docker.io/library/arm:latest": { architecture: "arm64" } };
  const text = "FROM arm\nRUN x\n";
  const one = await convert(text, { runnablePlatforms: [AMD64, ARM64] }, resolverOf({ images }));
  expect([one.image.architecture, one.platform.architecture, one.warnings]).toEqual(["arm64", "arm64", []]);
  const other = await convert(text, {}, resolverOf({ images }));
  expect(other.warnings.map((warning) => warning.message)).toEqual([
    'Base image arm was pulled with platform "linux/arm64", expected "linux/amd64" for current build',
  ]);
});

test("an image named by --from is for the target platform", async () => {
  const resolver = resolverOf({});
  await convert(
    "FROM --platform=$BUILDPLATFORM scratch\nCOPY --from=busybox /a /a\n",
    { targetPlatform: ARM64 },
    resolver,
  );
  expect(resolver.asked).toEqual(["docker.io/library/busybox:latest linux/arm64"]);
});

test("an explicit target drops the variant of a different base, and keeps that of the same", async () => {
  const images = { "docker.io/library/v:latest": { architecture: "arm", variant: "v6" } };
  const arm = { os: "linux", architecture: "arm", variant: "v7" };
  expect((await convert("FROM v\n", { targetPlatform: arm }, resolverOf({ images }))).image.variant).toBe("v7");
  expect((await convert("FROM v\n", { targetPlatform: AMD64 }, resolverOf({ images }))).image.variant).toBeUndefined();
});

test.each([
  {
    name: "a stage of that name",
    contexts: { base: { kind: "scratch" } as const },
    text: "FROM nowhere AS base\nRUN x\nFROM base\nLABEL a=b\n",
    vertices: 0,
  },
  {
    name: "an image",
    contexts: { nowhere: { kind: "local", name: "nowhere", excludes: [] } as const },
    text: "FROM nowhere\n",
    vertices: 2,
  },
  {
    name: "an image with its tag",
    contexts: { "nowhere:1": { kind: "local", name: "x", excludes: [] } as const },
    text: "FROM nowhere:1\n",
    vertices: 2,
  },
  {
    name: "an image for a platform",
    contexts: { "nowhere::linux/amd64": { kind: "local", name: "x", excludes: [] } as const },
    text: "FROM nowhere\n",
    vertices: 2,
  },
  {
    name: "a --from",
    contexts: { nowhere: { kind: "local", name: "x", excludes: [] } as const },
    text: "FROM scratch\nCOPY --from=nowhere a b\n",
    vertices: 2,
  },
])("a named context stands for $name", async ({ contexts, text, vertices }) => {
  const resolver = resolverOf({ contexts });
  const conversion = await convert(text, {}, resolver);
  expect(resolver.asked).toEqual([]);
  expect(verticesOf(conversion)).toHaveLength(vertices);
});

test("a named context can be another image, with its configuration", async () => {
  const image = {
    kind: "image",
    ref: "docker.io/library/new:1",
    manifest: digestOf("new"),
    config: imageConfig({ config: { User: "me" } }),
  } as const;
  const conversion = await convert("FROM old\nRUN x\n", {}, resolverOf({ contexts: { old: image } }));
  expect(conversion.image.config.User).toBe("me");
  expect(conversion.base?.ref).toBe("docker.io/library/new:1");
});

test.each([
  { name: "a base image", text: "FROM root\nRUN x\n" },
  { name: "a stage that another one continues", text: "FROM nowhere AS root\nRUN y\nFROM root\nRUN x\n" },
])("a directory that stands for $name is copied into a layer of its own", async ({ text }) => {
  const contexts = { root: { kind: "local", name: "root", excludes: [] } as const };
  const conversion = await convert(text, {}, resolverOf({ contexts }));
  expect(verticesOf(conversion).map(({ op }) => op.kind)).toEqual(["local", "file", "exec"]);
  expect(opsOf(conversion, "file")[0]).toMatchObject({ base: "scratch", actions: [{ source: ".", destination: "/" }] });
});

test("COPY --from a stage replaced by a directory reads only the copied files", async () => {
  const contexts = { root: { kind: "local", name: "root", excludes: [] } as const };
  const text = "FROM nowhere AS root\nRUN y\nFROM scratch\nCOPY --from=root a /\n";
  const conversion = await convert(text, {}, resolverOf({ contexts }));
  expect(verticesOf(conversion).map(({ op }) => op.kind)).toEqual(["local", "file"]);
});

test.each([
  { line: "RUN []", message: "RUN has no command: its list is empty" },
  { line: "COPY --chown=app a /b", message: 'Cannot look up the owner "app": this stage is empty' },
  { line: "COPY --chown=2147483648 a /b", message: 'Cannot look up the owner "2147483648"' },
  { line: "COPY --chown=1:app a /b", message: 'Cannot look up the owner "app"' },
  { line: "USER app\nWORKDIR /w", message: 'Cannot look up the owner "app"' },
])("$line in an empty stage is an error", async ({ line, message }) => {
  const error = await failure(convert(`FROM scratch\n${line}\n`));
  expect(error.message).toContain(message);
  expect(error.span?.start.line).toBe(1 + line.split("\n").length);
});

test.each(["COPY --chown=root:root a /b", "COPY --chown=1:2 a /b", "COPY --link --chown=app a /b"])(
  "%s needs no /etc/passwd",
  async (line) => {
    expect((await convert(`FROM scratch\n${line}\n`)).target).toBeDefined();
  },
);

test.each([
  { name: "in the global scope", text: 'ARG FOO=${FOO:?"text"}\nFROM scratch\nARG FOO\nLABEL a=$FOO\n' },
  { name: "in a stage", text: "FROM scratch\nARG FOO=${BAR:?}\nLABEL a=$FOO\n" },
  { name: "that another one needs", text: "ARG FOO=${FOO?}\nARG B=${FOO:?}\nFROM scratch\nARG B\nLABEL a=$B\n" },
  { name: "in FROM", text: "ARG FOO\nFROM ${FOO:?} AS x\nFROM scratch\nARG FOO\nLABEL a=$FOO\n" },
])("a default that cannot be expanded does not matter when a value is given: $name", async ({ text }) => {
  const { image } = await convert(text, { buildArgs: new Map([["FOO", "x"]]) });
  expect(image.config.Labels).toEqual({ a: "x" });
  await expect(convert(text)).rejects.toThrow(/not allowed to be|text/);
});

test("FROM --platform= with nothing behind it is FROM without it", async () => {
  expect((await convert("FROM --platform= scratch\n")).warnings).toEqual([]);
});

test("the names scratch and context cannot be replaced", async () => {
  const contexts = { scratch: { kind: "local", name: "s", excludes: [] } as const };
  expect((await convert("FROM scratch\n", {}, resolverOf({ contexts }))).target).toBeUndefined();
});

test("an archive from the network is unpacked when it is a context", async () => {
  const http = {
    kind: "http",
    url: "https://h/x.tar",
    filename: "x.tar",
    checksum: undefined,
    mode: 0o600,
    uid: 0,
    gid: 0,
  } as const;
  const conversion = await convert("FROM scratch\nCOPY a /\n", { context: http });
  expect(verticesOf(conversion).map((vertex) => vertex.op.kind)).toEqual(["http", "file", "file"]);
});

test("--label comes last and only on the target", async () => {
  const conversion = await convert("FROM scratch\nLABEL a=1 b=2\n", {
    labels: new Map([
      ["a", "9"],
      ["c", "3"],
    ]),
  });
  expect(conversion.image.config.Labels).toEqual({ a: "9", b: "2", c: "3" });
  expect(historyOf(conversion)).toEqual(["(LABEL a=1 b=2)"]);
});

test.each([
  { name: "nothing", noCache: "none" as const, skipped: [] },
  { name: "all", noCache: "all" as const, skipped: ["RUN a", "COPY a /", "RUN b"] },
  { name: "one stage, in any case", noCache: ["BUILD"], skipped: ["RUN a", "COPY a /"] },
])("--no-cache for $name", async ({ noCache, skipped }) => {
  const text = "FROM busybox AS build\nRUN a\nWORKDIR /w\nCOPY a /\nFROM build\nRUN b\n";
  const { meta } = await convert(text, { noCache });
  expect([...meta.values()].filter(({ cache }) => cache === "skip").map((step) => step.instruction)).toEqual(skipped);
});

test("local contexts that are read are listed", async () => {
  const contexts = { extra: { kind: "local", name: "extra", excludes: [] } as const };
  const text = "FROM scratch\nCOPY a /\nCOPY --from=extra b /\n";
  expect((await convert(text, {}, resolverOf({ contexts }))).usedContexts).toEqual(["context", "extra"]);
  expect((await convert("FROM scratch\n")).usedContexts).toEqual([]);
});

test.each([
  {
    name: "a build arg",
    text: "FROM scratch\nWORKDIR /w\n",
    options: { buildArgs: new Map([["SOURCE_DATE_EPOCH", "1700000000"]]) },
    epoch: 1_700_000_000,
  },
  { name: "a global ARG", text: "ARG SOURCE_DATE_EPOCH=5\nFROM scratch\nWORKDIR /w\n", options: {}, epoch: 5 },
  { name: "the context", text: "ARG SOURCE_DATE_EPOCH=context\nFROM scratch\nWORKDIR /w\n", options: {}, epoch: 77 },
  {
    name: "a stage that is one ADD",
    text: "ARG SOURCE_DATE_EPOCH=src\nFROM scratch AS src\nADD https://h/x /\nFROM scratch\nWORKDIR /w\n",
    options: {},
    epoch: 77,
  },
])("SOURCE_DATE_EPOCH from $name dates what is made", async ({ text, options, epoch }) => {
  const conversion = await convert(text, options, resolverOf({ sourceDate: 77 }));
  expect(conversion.sourceDateEpoch).toBe(epoch);
  expect(opsOf(conversion, "file")[0]?.actions[0]).toMatchObject({ timestamp: epoch });
});

test.each([
  { name: "no source", text: "FROM scratch\n", value: "yesterday" },
  { name: "a stage on an image", text: "FROM busybox AS s\nADD https://h/x /\nFROM scratch\n", value: "s" },
  { name: "a stage that runs", text: "FROM scratch AS s\nADD https://h/x /\nRUN x\nFROM scratch\n", value: "s" },
  {
    name: "a stage with two ADDs",
    text: "FROM scratch AS s\nADD https://h/x /\nADD https://h/y /\nFROM scratch\n",
    value: "s",
  },
  { name: "a stage with a local ADD", text: "FROM scratch AS s\nADD x /\nFROM scratch\n", value: "s" },
])("SOURCE_DATE_EPOCH cannot come from $name", async ({ text, value }) => {
  const error = await failure(convert(text, { buildArgs: new Map([["SOURCE_DATE_EPOCH", value]]) }));
  expect(error.code).toBe("dockerfile/arg");
});

test("the date replaces the name of its source", async () => {
  const text = "FROM scratch\nARG SOURCE_DATE_EPOCH\nLABEL d=$SOURCE_DATE_EPOCH\n";
  const options = { buildArgs: new Map([["SOURCE_DATE_EPOCH", "context"]]) };
  expect((await convert(text, options, resolverOf({ sourceDate: 77 }))).image.config.Labels).toEqual({ d: "77" });
});
