import { expect, test } from "vitest";
import { convert, failure, historyOf, opsOf, resolverOf } from "./convert.fixture.ts";

/** Instructions on an empty image, what history says, and the members of the configuration that matter. */
test.each([
  { text: "ENV A=1 B=2", history: "(ENV A=1 B=2)", config: { Env: ["A=1", "B=2"] } },
  { text: "ENV A  some  text", history: "(ENV A=some  text)", config: { Env: ["A=some  text"] } },
  { text: 'ENV A="x y" B=a\\ b', history: "(ENV A=x y B=a b)", config: { Env: ["A=x y", "B=a b"] } },
  { text: "ENV A=", history: "(ENV A=)", config: { Env: ["A="] } },
  { text: "LABEL a=1 \"b c\"='d e'", history: "(LABEL a=1 b c=d e)", config: { Labels: { a: "1", "b c": "d e" } } },
  { text: "LABEL b=1 a=2", history: "(LABEL b=1 a=2)", config: { Labels: { a: "2", b: "1" } } },
  {
    text: "CMD echo hi",
    history: '(CMD ["/bin/sh" "-c" "echo hi"])',
    config: { Cmd: ["/bin/sh", "-c", "echo hi"], ArgsEscaped: true },
  },
  { text: 'CMD ["a","$B"]', history: '(CMD ["a" "$B"])', config: { Cmd: ["a", "$B"], ArgsEscaped: true } },
  { text: "CMD []", history: "(CMD [])", config: { ArgsEscaped: true } },
  {
    text: "ENTRYPOINT exec x",
    history: '(ENTRYPOINT ["/bin/sh" "-c" "exec x"])',
    config: { Entrypoint: ["/bin/sh", "-c", "exec x"] },
  },
  { text: 'ENTRYPOINT ["/x"]', history: '(ENTRYPOINT ["/x"])', config: { Entrypoint: ["/x"] } },
  {
    text: "EXPOSE 443 80/udp",
    history: "(EXPOSE [443/tcp 80/udp])",
    config: { ExposedPorts: { "443/tcp": {}, "80/udp": {} } },
  },
  {
    text: "EXPOSE 9 80-81",
    history: "(EXPOSE [80/tcp 81/tcp 9/tcp])",
    config: { ExposedPorts: { "80/tcp": {}, "81/tcp": {}, "9/tcp": {} } },
  },
  { text: "VOLUME /b /a", history: "(VOLUME [/b /a])", config: { Volumes: { "/a": {}, "/b": {} } } },
  { text: 'VOLUME ["/a b"]', history: "(VOLUME [/a b])", config: { Volumes: { "/a b": {} } } },
  { text: "USER app:staff", history: "(USER app:staff)", config: { User: "app:staff" } },
  { text: "STOPSIGNAL SIGUSR1", history: "(STOPSIGNAL SIGUSR1)", config: { StopSignal: "SIGUSR1" } },
  {
    text: 'SHELL ["/bin/bash", "-euc"]',
    history: "(SHELL [/bin/bash -euc])",
    config: { Shell: ["/bin/bash", "-euc"] },
  },
  {
    text: "HEALTHCHECK --interval=1m30s --timeout=5s --start-period=1ms --start-interval=2s --retries=4 CMD curl x",
    history:
      "(HEALTHCHECK {Test:[CMD-SHELL curl x] Interval:1m30s Timeout:5s StartPeriod:1ms StartInterval:2s Retries:4})",
    config: {
      Healthcheck: {
        Test: ["CMD-SHELL", "curl x"],
        Interval: 90e9,
        Timeout: 5e9,
        StartPeriod: 1e6,
        StartInterval: 2e9,
        Retries: 4,
      },
    },
  },
  {
    text: 'HEALTHCHECK CMD ["a","b"]',
    history: "(HEALTHCHECK {Test:[CMD a b] Interval:0s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0})",
    config: { Healthcheck: { Test: ["CMD", "a", "b"] } },
  },
  {
    text: "HEALTHCHECK NONE",
    history: "(HEALTHCHECK {Test:[NONE] Interval:0s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0})",
    config: { Healthcheck: { Test: ["NONE"] } },
  },
  { text: "ARG A=1 B C=x$A", history: "(ARG A=1 B C=x1)", config: {} },
  { text: "MAINTAINER me <a@b>", history: "(MAINTAINER me <a@b>)", config: {} },
  { text: "WORKDIR /", history: "(WORKDIR /)", config: { WorkingDir: "/" } },
  { text: "WORKDIR /a/..", history: "(WORKDIR /a/..)", config: { WorkingDir: "/a/.." } },
  { text: "WORKDIR /a/../b//c/", history: "WORKDIR /a/../b//c/", config: { WorkingDir: "/a/../b//c/" } },
])("$text", async ({ text, history, config }) => {
  const conversion = await convert(`FROM scratch\n${text}\n`);
  expect(historyOf(conversion)).toEqual([history]);
  const { Env, WorkingDir, ...rest } = conversion.image.config;
  const {
    Env: wantedEnv,
    WorkingDir: wantedDirectory,
    ...wanted
  } = { Env: [], WorkingDir: "/", ...config } as typeof conversion.image.config;
  expect([rest, WorkingDir, Env?.slice(1)]).toEqual([wanted, wantedDirectory, wantedEnv]);
});

test("MAINTAINER is the image's author", async () => {
  expect((await convert("FROM rich\nMAINTAINER me\n")).image.author).toBe("me");
});

test("ENV changes a variable in place", async () => {
  const { image } = await convert("FROM rich\nENV NEW=1\nENV BASE=2\n");
  expect(image.config.Env?.slice(1)).toEqual(["BASE=2", "NEW=1"]);
});

test("one instruction sees the environment before it", async () => {
  const text = "FROM scratch\nENV abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc\n";
  expect((await convert(text)).image.config.Env?.slice(1)).toEqual(["abc=bye", "def=hello", "ghi=bye"]);
});

test.each([
  { name: "a default", text: "ARG A=1\nLABEL v=$A", buildArgs: {}, value: "1" },
  { name: "a build arg over a default", text: "ARG A=1\nLABEL v=$A", buildArgs: { A: "9" }, value: "9" },
  { name: "an empty build arg over a default", text: "ARG A=1\nLABEL v=[$A]", buildArgs: { A: "" }, value: "[]" },
  { name: "nothing", text: "ARG A\nLABEL v=${A-unset}", buildArgs: {}, value: "unset" },
  { name: "ENV after ARG", text: "ARG A=1\nENV A=2\nLABEL v=$A", buildArgs: { A: "9" }, value: "2" },
  { name: "ARG after ENV", text: "ENV A=1\nARG A=2\nLABEL v=$A", buildArgs: {}, value: "2" },
  { name: "an undeclared build arg", text: "LABEL v=[$A]", buildArgs: { A: "9" }, value: "[]" },
  { name: "a platform arg", text: "ARG TARGETARCH\nLABEL v=$TARGETARCH", buildArgs: {}, value: "amd64" },
  { name: "a platform arg that is not declared", text: "LABEL v=[$TARGETARCH]", buildArgs: {}, value: "[]" },
  {
    name: "a platform arg that is overridden",
    text: "ARG TARGETARCH\nLABEL v=$TARGETARCH",
    buildArgs: { TARGETARCH: "z" },
    value: "z",
  },
])("the value of a variable from $name", async ({ text, buildArgs, value }) => {
  const { image } = await convert(`FROM scratch\n${text}\n`, { buildArgs: new Map(Object.entries(buildArgs)) });
  expect(image.config.Labels).toEqual({ v: value });
});

test.each([
  { name: "a global default", text: "ARG G=1\nFROM scratch\nARG G\nLABEL v=$G\n", value: "1" },
  { name: "its own default over the global one", text: "ARG G=1\nFROM scratch\nARG G=2\nLABEL v=$G\n", value: "2" },
  { name: "nothing without declaring it", text: "ARG G=1\nFROM scratch\nLABEL v=[$G]\n", value: "[]" },
  {
    name: "a global default made of another",
    text: "ARG A=1\nARG G=$A-x\nFROM scratch\nARG G\nLABEL v=$G\n",
    value: "1-x",
  },
  { name: "the stage below", text: "FROM scratch AS a\nARG G=1\nFROM a\nLABEL v=$G\n", value: "1" },
])("a stage's ARG takes $name", async ({ text, value }) => {
  expect((await convert(text)).image.config.Labels).toEqual({ v: value });
});

test("CMD survives an ENTRYPOINT only when this stage set it", async () => {
  expect((await convert('FROM rich\nENTRYPOINT ["e"]\n')).image.config).toMatchObject({ Entrypoint: ["e"] });
  expect((await convert('FROM rich\nENTRYPOINT ["e"]\n')).image.config.Cmd).toBeUndefined();
  expect((await convert('FROM rich\nCMD ["c"]\nENTRYPOINT ["e"]\n')).image.config.Cmd).toEqual(["c"]);
  const stages = 'FROM scratch AS a\nCMD ["c"]\nFROM a\nENTRYPOINT ["e"]\n';
  expect((await convert(stages)).image.config.Cmd).toBeUndefined();
});

test("ENTRYPOINT [] removes the inherited one", async () => {
  expect((await convert("FROM rich\nENTRYPOINT []\n")).image.config.Entrypoint).toBeUndefined();
});

test("EXPOSE splits what its variables hold", async () => {
  const conversion = await convert('FROM scratch\nENV P="80 90/udp"\nEXPOSE $P\n');
  expect(historyOf(conversion).at(-1)).toBe("(EXPOSE [80/tcp 90/udp])");
});

test.each([
  { name: "VOLUME", text: "VOLUME $NOTHING", message: /VOLUME specified can not be an empty string/ },
  { name: "STOPSIGNAL", text: "STOPSIGNAL SIGNOTHING", message: /invalid signal: SIGNOTHING$/ },
  { name: "EXPOSE", text: "EXPOSE web", message: /invalid containerPort: web/ },
  { name: "a failed expansion", text: `ENV A="\${B:?must be given}"`, message: /must be given/ },
])("an impossible value is an error at its word: $name", async ({ text, message }) => {
  const error = await failure(convert(`FROM scratch\n${text}\n`));
  expect(error.message).toMatch(message);
  expect(error.span?.start.line).toBe(2);
});

test("WORKDIR makes a directory in a layer, for the stage's user, and paths add up", async () => {
  const conversion = await convert("FROM busybox\nWORKDIR /a\nUSER app:staff\nWORKDIR b/../c\nRUN x\n");
  expect(historyOf(conversion)).toEqual([
    "WORKDIR /a",
    "(USER app:staff)",
    "WORKDIR /a/c",
    "RUN /bin/sh -c x # buildkit",
  ]);
  expect(opsOf(conversion, "file").flatMap((op) => op.actions)).toEqual([
    { kind: "mkdir", path: "/a", mode: 0o755, owner: undefined, timestamp: undefined },
    { kind: "mkdir", path: "/a/c", mode: 0o755, owner: { user: "app", group: "staff" }, timestamp: undefined },
  ]);
  expect(opsOf(conversion, "exec")[0]?.cwd).toBe("/a/c");
});

test("a relative WORKDIR starts at the base image's, which is not made again", async () => {
  const conversion = await convert("FROM rich\nWORKDIR x\n");
  expect(historyOf(conversion)).toEqual(["WORKDIR /srv/x"]);
  expect(opsOf(conversion, "file")).toHaveLength(1);
});

test("ONBUILD is stored as written and leaves no history", async () => {
  const conversion = await convert("FROM scratch\nONBUILD RUN a   b\nONBUILD COPY . /app\n");
  expect(conversion.image.config.OnBuild).toEqual(["RUN a   b", "COPY . /app"]);
  expect(conversion.history).toEqual([]);
});

const onbuild = (...OnBuild: readonly string[]) =>
  resolverOf({ images: { "docker.io/library/child:latest": { config: { OnBuild } } } });

test("triggers of a base image run first, are named as such, and are used up", async () => {
  const conversion = await convert("FROM child\nRUN own\n", {}, onbuild("ENV A=1", "RUN got $A", "COPY . /app"));
  expect(historyOf(conversion)).toEqual([
    "(ENV A=1)",
    "RUN /bin/sh -c got $A # buildkit",
    "COPY . /app # buildkit",
    "RUN /bin/sh -c own # buildkit",
  ]);
  expect(conversion.image.config.OnBuild).toBeUndefined();
  expect(
    [...conversion.meta.values()].map(({ name }) => name.replace(/@.*/, "")).filter((name) => name.startsWith("[")),
  ).toEqual([
    "[1/5] FROM docker.io/library/child:latest",
    "[2/5] ONBUILD RUN got 1",
    "[3/5] ONBUILD COPY . /app",
    "[4/5] RUN own",
    "[internal] load build context",
  ]);
});

test("triggers of a stage run in the stage that continues it and no further", async () => {
  const text = "FROM scratch AS a\nONBUILD LABEL t=1\nFROM a AS b\nFROM b\nLABEL own=1\n";
  const conversion = await convert(text);
  expect(historyOf(conversion)).toEqual(["(LABEL t=1)", "(LABEL own=1)"]);
});

test("a trigger may copy from a stage or image of the child file", async () => {
  const resolver = onbuild("COPY --from=tools /x /x", "COPY --from=busybox /y /y");
  const conversion = await convert("FROM scratch AS tools\nLABEL a=b\nFROM child\n", {}, resolver);
  expect(resolver.asked).toContain("docker.io/library/busybox:latest linux/amd64");
  expect(historyOf(conversion)).toEqual(["COPY /x /x # buildkit", "COPY /y /y # buildkit"]);
});

test("the error for an image that only a trigger names points at the FROM", async () => {
  const error = await failure(convert("# comment\nFROM child\n", {}, onbuild("COPY --from=not/there:1 a b")));
  expect([error.span?.source.name, error.span?.start.line]).toEqual(["Dockerfile", 2]);
});

test.each(["COPPY a b", "LABEL a=${B?}", "COPY --from=9 a b"])(
  "an error in the trigger %s is told at the FROM that brought it",
  async (trigger) => {
    const error = await failure(convert("# comment\nFROM child\n", {}, onbuild(trigger)));
    expect([error.span?.source.name, error.span?.start.line]).toEqual(["Dockerfile", 2]);
    expect(error.detail).toBe(`ONBUILD of child: ${trigger}`);
  },
);
