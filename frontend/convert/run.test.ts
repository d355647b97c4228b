import { expect, test } from "vitest";
import { convert, failure, historyOf, opOf, opsOf, resolverOf, verticesOf } from "./convert.fixture.ts";

const exec = async (line: string, options = {}) => opOf(await convert(`FROM busybox\n${line}\n`, options), "exec");

test("the op of a RUN holds everything that decides its result", async () => {
  const op = await exec("RUN make", {
    hostname: "box",
    ulimits: [{ name: "nofile", soft: 1, hard: 2 }],
    shmSizeBytes: 64,
    extraHosts: ["db"],
    cgroupParent: "/x",
    network: "none",
  });
  expect(op).toEqual({
    kind: "exec",
    argv: ["/bin/sh", "-c", "make"],
    env: [["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]],
    cwd: "/",
    user: "",
    hostname: "box",
    network: "none",
    security: "sandbox",
    scratchRoot: false,
    mounts: [],
    shmSizeBytes: 64,
    ulimits: [{ name: "nofile", soft: 1, hard: 2 }],
    extraHosts: ["db"],
    cgroupParent: "/x",
    platform: { os: "linux", architecture: "amd64" },
  });
});

test.each([
  { name: "exec form", line: 'RUN ["a", "b c"]', argv: ["a", "b c"], history: "RUN a b c # buildkit" },
  {
    name: "variables are the shell's",
    line: "RUN echo $A ${B}",
    argv: ["/bin/sh", "-c", "echo $A ${B}"],
    history: "RUN /bin/sh -c echo $A ${B} # buildkit",
  },
  {
    name: "quotes stay",
    line: `RUN echo "a" 'b'`,
    argv: ["/bin/sh", "-c", `echo "a" 'b'`],
    history: `RUN /bin/sh -c echo "a" 'b' # buildkit`,
  },
  {
    name: "a continued line",
    line: "RUN a && \\\n    b",
    argv: ["/bin/sh", "-c", "a &&     b"],
    history: "RUN /bin/sh -c a &&     b # buildkit",
  },
  {
    name: "a here-document is the command",
    line: "RUN <<EOF\na\nb\nEOF",
    argv: ["/bin/sh", "-c", "a\nb\n"],
    history: "RUN /bin/sh -c a\nb\n # buildkit",
  },
  {
    name: "a chomped here-document",
    line: "RUN <<-EOF\n\t\ta\n\tEOF",
    argv: ["/bin/sh", "-c", "a\n"],
    history: "RUN /bin/sh -c a\n # buildkit",
  },
  {
    name: "a quoted here-document",
    line: 'RUN <<"EOF"\n$a\nEOF',
    argv: ["/bin/sh", "-c", "$a\n"],
    history: "RUN /bin/sh -c $a\n # buildkit",
  },
  {
    name: "a here-document as input",
    line: "RUN cat <<EOF\na\nEOF",
    argv: ["/bin/sh", "-c", "cat <<EOF\na\nEOF"],
    history: "RUN /bin/sh -c cat <<EOF\na\nEOF # buildkit",
  },
  {
    name: "two here-documents",
    line: "RUN cat <<A 3<<B\na\nA\nb\nB",
    argv: ["/bin/sh", "-c", "cat <<A 3<<B\na\nA\nb\nB"],
    history: "RUN /bin/sh -c cat <<A 3<<B\na\nA\nb\nB # buildkit",
  },
  {
    name: "#! behind a tab that is taken off",
    line: "RUN <<-E\n\t#!/bin/x\n\ta\n\tE",
    argv: ["/bin/sh", "-c", "/dev/pipes/E"],
    history: "RUN /bin/sh -c /dev/pipes/E # buildkit",
  },
])("the command: $name", async ({ line, argv, history }) => {
  const conversion = await convert(`FROM busybox\n${line}\n`);
  expect([opOf(conversion, "exec").argv, historyOf(conversion)]).toEqual([argv, [history]]);
});

test("a here-document with #! is a file that is mounted and run", async () => {
  const conversion = await convert("FROM busybox\nRUN <<EOF\n#!/usr/bin/env python3\nprint(1)\nEOF\n");
  expect(opOf(conversion, "exec")).toMatchObject({
    argv: ["/bin/sh", "-c", "/dev/pipes/EOF"],
    mounts: [{ type: "bind", target: "/dev/pipes", input: 1, source: "/", mode: "ro" }],
  });
  expect(opOf(conversion, "file").actions).toMatchObject([
    { kind: "mkfile", path: "/EOF", mode: 0o755, text: "#!/usr/bin/env python3\nprint(1)\n" },
  ]);
  expect(historyOf(conversion)).toEqual(["RUN /bin/sh -c /dev/pipes/EOF # buildkit"]);
});

test("on scratch there is no root input, and mounts count from 0", async () => {
  const conversion = await convert('FROM scratch\nRUN --mount=target=/x ["/x/run"]\n');
  expect(opOf(conversion, "exec")).toMatchObject({ scratchRoot: true, mounts: [{ type: "bind", input: 0 }] });
  expect(verticesOf(conversion).at(-1)?.inputs).toHaveLength(1);
});

test.each([
  { line: "RUN --network=none x", options: {}, network: "none" },
  { line: "RUN --network=default x", options: { network: "host" as const }, network: "host" },
  { line: "RUN --network=none x", options: { network: "host" as const }, network: "none" },
])("$line with build network $options.network", async ({ line, options, network }) => {
  expect((await exec(line, options)).network).toBe(network);
});

test("BUILDKIT_SANDBOX_HOSTNAME names the host unless an option does", async () => {
  const buildArgs = new Map([["BUILDKIT_SANDBOX_HOSTNAME", "arg"]]);
  expect((await exec("RUN x", { buildArgs })).hostname).toBe("arg");
  expect((await exec("RUN x", { buildArgs, hostname: "option" })).hostname).toBe("option");
});

test.each([
  { mount: "target=/x", op: { type: "bind", target: "/x", input: 1, source: "/", mode: "ro" } },
  { mount: "type=bind,src=a/../b,dst=x,rw", op: { type: "bind", target: "/w/x", input: 1, source: "/b", mode: "rw" } },
  {
    mount: "type=bind,from=base,src=/etc,target=/e",
    op: { type: "bind", target: "/e", input: 1, source: "/etc", mode: "ro" },
  },
  {
    mount: "type=cache,target=/root/.cache/",
    op: {
      type: "cache",
      target: "/root/.cache",
      id: "/root/.cache",
      sharing: "shared",
      seed: undefined,
      mode: "rw",
      permissions: 0o755,
      uid: 0,
      gid: 0,
    },
  },
  {
    mount: "type=cache,id=go,target=c,sharing=locked,mode=0700,uid=5,gid=6,ro",
    op: {
      type: "cache",
      target: "/w/c",
      id: "go",
      sharing: "locked",
      seed: undefined,
      mode: "ro",
      permissions: 0o700,
      uid: 5,
      gid: 6,
    },
  },
  {
    mount: "type=cache,target=/c,from=base,source=/seed,mode=0700,uid=5",
    op: {
      type: "cache",
      target: "/c",
      id: "/c",
      sharing: "shared",
      seed: { input: 1, source: "/seed" },
      mode: "rw",
      permissions: 0o755,
      uid: 0,
      gid: 0,
    },
  },
  {
    mount: "type=cache,target=/c,from=base",
    op: {
      type: "cache",
      target: "/c",
      id: "/c",
      sharing: "shared",
      seed: { input: 1, source: "/" },
      mode: "rw",
      permissions: 0o755,
      uid: 0,
      gid: 0,
    },
  },
  {
    mount: "type=cache,target=/c,from=base,uid=5",
    op: {
      type: "cache",
      target: "/c",
      id: "/c",
      sharing: "shared",
      seed: undefined,
      mode: "rw",
      permissions: 0o755,
      uid: 5,
      gid: 0,
    },
  },
  { mount: "type=tmpfs,target=/t,size=64m", op: { type: "tmpfs", target: "/t", sizeBytes: 67_108_864 } },
  { mount: "type=tmpfs,target=/t,ro", op: { type: "tmpfs", target: "/t", mode: "ro" } },
  { mount: "type=tmpfs,target=/t,ro=false", op: { type: "tmpfs", target: "/t", mode: undefined } },
  {
    mount: "type=secret,id=tok/en",
    op: {
      type: "secret",
      id: "tok/en",
      target: "/run/secrets/en",
      env: undefined,
      required: false,
      permissions: 0o400,
      uid: 0,
      gid: 0,
    },
  },
  {
    mount: "type=secret,target=/a/b.json,required,mode=0444,uid=1,gid=2",
    op: {
      type: "secret",
      id: "b.json",
      target: "/a/b.json",
      env: undefined,
      required: true,
      permissions: 0o444,
      uid: 1,
      gid: 2,
    },
  },
  { mount: "type=secret,id=t,env=TOKEN", op: { type: "secret", id: "t", target: undefined, env: "TOKEN" } },
  { mount: "type=secret,id=t,env=TOKEN,target=rel", op: { type: "secret", id: "t", target: "/w/rel", env: "TOKEN" } },
  {
    mount: "type=ssh",
    op: {
      type: "ssh",
      id: "default",
      target: "/run/buildkit/ssh_agent.0",
      required: false,
      permissions: 0o600,
      uid: 0,
      gid: 0,
    },
  },
  {
    mount: "type=ssh,id=k,target=/s,required,mode=0666",
    op: { type: "ssh", id: "k", target: "/s", required: true, permissions: 0o666 },
  },
  { mount: "type=bind,target=$DIR", op: { type: "bind", target: "/from/var" } },
])("--mount=$mount", async ({ mount, op }) => {
  const text = `FROM rich AS base\nFROM busybox\nENV DIR=/from/var\nWORKDIR /w\nRUN --mount=${mount} x\n`;
  expect(opOf(await convert(text), "exec").mounts).toMatchObject([op]);
});

test("mounts are in the order of their targets, and equal trees are one input", async () => {
  const op = await exec("RUN --mount=target=/b/c --mount=type=tmpfs,target=/b --mount=target=/a x");
  expect(op.mounts.map((mount) => [mount.target, mount.type === "bind" ? mount.input : undefined])).toEqual([
    ["/a", 1],
    ["/b", undefined],
    ["/b/c", 1],
  ]);
});

test("several agents get sockets of their own", async () => {
  const op = await exec("RUN --mount=type=ssh --mount=type=ssh,id=b x");
  expect(op.mounts.map((mount) => mount.target)).toEqual(["/run/buildkit/ssh_agent.0", "/run/buildkit/ssh_agent.1"]);
});

test("a cache id has the namespace in front", async () => {
  const line = "RUN --mount=type=cache,id=go,target=/c x";
  expect((await exec(line, { cacheMountNamespace: "ci" })).mounts).toMatchObject([{ id: "ci/go" }]);
  const buildArgs = new Map([["BUILDKIT_CACHE_MOUNT_NS", "arg"]]);
  expect((await exec(line, { buildArgs })).mounts).toMatchObject([{ id: "arg/go" }]);
});

test.each([
  { mount: "type=bind,target=/", message: /invalid mount target "\/"/ },
  { mount: "type=cache,target=..", message: /invalid mount target/ },
  { mount: "type=bnd,target=/x", message: /did you mean "bind"/ },
  { mount: "type=cache,target=/c,source=/x", message: /there is no "\/x" in an empty cache/ },
  { mount: "type=ssh,source=/x", message: /ssh does not support source/ },
  { mount: "type=bind,from=later,target=/x", message: /needs to be defined before/ },
])("--mount=$mount fails at the flag", async ({ mount, message }) => {
  const error = await failure(
    convert(`FROM busybox AS a\nRUN --mount=${mount} x\nFROM scratch AS later\n`, { target: "a" }),
  );
  expect(error.message).toMatch(message);
  expect(error.span?.start.line).toBe(2);
});

test("metadata lists the names of ARGs, without those that ENV replaced", async () => {
  const conversion = await convert("FROM busybox\nARG A=1\nARG B=2\nARG C\nENV B=3\nRUN x\n");
  const meta = [...conversion.meta.values()].find((step) => step.instruction === "RUN x");
  expect(meta?.argNames).toEqual(["A"]);
  expect(opOf(conversion, "exec").env.flat().slice(1)).toEqual(["A=1", "B=3"]);
  expect(historyOf(conversion).at(-1)).toBe("RUN |3 A=1 B=3 C= /bin/sh -c x # buildkit");
});

test("a changed ARG value leaves the recorded instruction as it was", async () => {
  const text = "FROM busybox\nARG A\nRUN echo $A\n";
  const [one, two] = await Promise.all(["1", "2"].map((a) => convert(text, { buildArgs: new Map([["A", a]]) })));
  const steps = [one, two].map((conversion) => [...(conversion?.meta.values() ?? [])].at(-1));
  expect(steps.map((step) => step?.name)).toEqual(["[2/2] RUN echo 1", "[2/2] RUN echo 2"]);
  expect(new Set(steps.map((step) => step?.instruction)).size).toBe(1);
  expect(one?.target?.digest).not.toBe(two?.target?.digest);
});

test("scan settings never reach a command", async () => {
  const op = await exec("ARG BUILDKIT_SBOM_SCAN_STAGE=true\nRUN x");
  expect(op.env.flat()).toHaveLength(1);
});

test("display names hide secrets' variables and keep unset variables as written", async () => {
  const text = "FROM busybox\nARG TOKEN=old\nRUN --mount=type=secret,id=t,env=TOKEN curl $TOKEN $HOME\n";
  const names = [...(await convert(text)).meta.values()].map((step) => step.name);
  expect(names.at(-1)).toBe("[2/2] RUN --mount=type=secret,id=t,env=TOKEN curl **** $HOME");
});

test("a here-document is named by its first line", async () => {
  const names = [...(await convert("FROM busybox\nRUN <<EOF\n\nset -e\nmake\nEOF\n")).meta.values()].map(
    (step) => step.name,
  );
  expect(names.at(-1)).toBe("[2/2] RUN <<EOF (set -e...)");
});

test("step numbers are as wide as the last one", async () => {
  const text = `FROM busybox AS build\n${"RUN x\n".repeat(9)}FROM busybox\n`;
  const conversion = await convert(text, { target: "build" });
  const names = [...conversion.meta.values()].map((step) => step.name.replace(/\].*/, "]"));
  expect([names[0], names.at(-1)]).toEqual(["[build  1/10]", "[build 10/10]"]);
});

test("commands see the stage's environment in the order of definition", async () => {
  const conversion = await convert("FROM busybox\nENV B=1 A=2\nARG C=3\nENV A=4\nRUN x\n", {}, resolverOf({}));
  expect(opsOf(conversion, "exec")[0]?.env.flat().slice(1)).toEqual(["B=1", "A=4", "C=3"]);
});

test.each([
  { name: "a required device", line: "RUN --device=vendor.com/gpu=all,required make" },
  { name: "an optional device", line: "RUN --mount=type=tmpfs,target=/t --device=name=vendor.com/gpu make" },
])("$name is refused at its flag", async ({ line }) => {
  const error = await failure(convert(`FROM busybox\n${line}\n`));
  expect(error).toMatchObject({ code: "runtime/unsupported", message: expect.stringContaining("vendor.com/gpu") });
  expect(error.span).toMatchObject({ start: { line: 2, column: line.indexOf("--device") + 1 } });
});

test("a device in a stage that is not built is accepted", async () => {
  const text = "FROM busybox AS gpu\nRUN --device=vendor.com/gpu make\nFROM busybox\nRUN x\n";
  expect(opsOf(await convert(text), "exec")).toHaveLength(1);
});

test("the name of a step keeps the backslashes of its command", async () => {
  const { meta } = await convert("FROM busybox\nENV A=x\nRUN printf 'a\\n' \"\\$A\" $A C:\\\\b\n");
  const names = [...meta.values()].map(({ name }) => name);
  expect(names).toContain("[2/2] RUN printf 'a\\n' \"\\$A\" x C:\\\\b");
});

test("a step of a trigger says which base brought it", async () => {
  const images = { "docker.io/library/parent:latest": { config: { OnBuild: ["RUN false"] } } };
  const { meta } = await convert("FROM parent\n", {}, resolverOf({ images }));
  const texts = [...meta.values()].flatMap(({ trigger }) => (trigger === undefined ? [] : [trigger]));
  expect(texts).toEqual(["ONBUILD of parent: RUN false"]);
});
