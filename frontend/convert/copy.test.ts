import { expect, test } from "vitest";
import { plainCopy } from "../../solver/graph/plain-copy.ts";
import { convert, failure, historyOf, opOf, opsOf, resolverOf, verticesOf } from "./convert.fixture.ts";

const PLAIN = plainCopy({ input: 0, source: "a", destination: "/b", keepOwner: false });

/** Prefix: an empty image with working directory /w, so that the context is input 0. */
test.each([
  { line: "COPY a /b", action: {}, history: "COPY a /b # buildkit" },
  { line: "COPY a b", action: { destination: "/w/b" }, history: "COPY a b # buildkit" },
  { line: "COPY a .", action: { destination: "/w/" }, history: "COPY a . # buildkit" },
  { line: "COPY a b/", action: { destination: "/w/b/" }, history: "COPY a b/ # buildkit" },
  { line: "COPY a ../b/.", action: { destination: "/b/" }, history: "COPY a ../b/. # buildkit" },
  { line: "COPY a /", action: { destination: "/" }, history: "COPY a / # buildkit" },
  { line: 'COPY a ""', action: { destination: "/w/" }, history: "COPY a  # buildkit" },
  { line: "COPY . /b", action: { source: "." }, history: "COPY . /b # buildkit" },
  { line: "COPY / /b", action: { source: "." }, history: "COPY / /b # buildkit" },
  { line: "COPY ../../a/ /b", action: { source: "a" }, history: "COPY ../../a/ /b # buildkit" },
  { line: "COPY *.c /b", action: { source: "*.c", wildcard: true }, history: "COPY *.c /b # buildkit" },
  { line: "COPY a[[]0].c /b", action: { source: "a[[]0].c", wildcard: true }, history: "COPY a[[]0].c /b # buildkit" },
  { line: 'COPY ["a b", "/b c"]', action: { source: "a b", destination: "/b c" }, history: "COPY a b /b c # buildkit" },
  { line: "COPY $S /$D", action: { source: "src", destination: "/dst" }, history: "COPY src /dst # buildkit" },
  {
    line: "COPY --chown=1:2 a /b",
    action: { owner: { user: "1", group: "2" } },
    history: "COPY --chown=1:2 a /b # buildkit",
  },
  {
    line: "COPY --chown=$N a /b",
    action: { owner: { user: "12", group: undefined } },
    history: "COPY --chown=12 a /b # buildkit",
  },
  {
    line: "COPY --chmod=0755 a /b",
    action: { mode: { kind: "octal", bits: 0o755 } },
    history: "COPY --chmod=0755 a /b # buildkit",
  },
  {
    line: "COPY --chmod=u+x a /b",
    action: { mode: { kind: "symbolic", text: "u+x" } },
    history: "COPY --chmod=u+x a /b # buildkit",
  },
  {
    line: "COPY --exclude=*.md --exclude=$S a /b",
    action: { excludes: ["*.md", "$S"] },
    history: "COPY a /b # buildkit",
  },
  {
    line: "COPY --parents x/y/z /b",
    action: { source: "x/y/z", parents: true },
    history: "COPY --parents x/y/z /b # buildkit",
  },
  {
    line: "COPY --parents x/./y/**/z /b",
    action: { source: "x/./y/**/z", parents: true, wildcard: true },
    history: "COPY --parents x/./y/**/z /b # buildkit",
  },
  { line: "ADD a /b", action: { unpack: "auto" }, history: "ADD a /b # buildkit" },
  { line: "ADD --unpack=false a /b", action: { unpack: "never" }, history: "ADD a /b # buildkit" },
  { line: "ADD --unpack a /b", action: { unpack: "auto" }, history: "ADD a /b # buildkit" },
])("$line", async ({ line, action, history }) => {
  const conversion = await convert(
    `FROM scratch\nENV S=src D=dst N=12\n${line}\n`.replace("FROM scratch", "FROM work"),
    {},
    onWork(),
  );
  expect(opOf(conversion, "file")).toEqual({ kind: "file", base: "scratch", actions: [{ ...PLAIN, ...action }] });
  expect(historyOf(conversion).slice(1)).toEqual([history]);
});

/** An image without layers and with working directory /w. */
function onWork(): ReturnType<typeof resolverOf> {
  const config = { WorkingDir: "/w" };
  return resolverOf({
    images: { "docker.io/library/work:latest": { config, rootfs: { type: "layers", diff_ids: [] }, history: [] } },
  });
}

test("several sources are copied in order into one layer from one input", async () => {
  const conversion = await convert("FROM busybox\nCOPY a b c /d/\n");
  const op = opOf(conversion, "file");
  expect(op.base).toBe("input");
  expect(op.actions.map((action) => action.kind === "copy" && [action.input, action.source])).toEqual([
    [1, "a"],
    [1, "b"],
    [1, "c"],
  ]);
  expect(conversion.target?.inputs.map((input) => input.op.kind)).toEqual(["image", "local"]);
});

test.each([
  { name: "a stage by name", from: "Build" },
  { name: "a stage by number", from: "0" },
])("--from $name keeps owners and is not in the history", async ({ from }) => {
  const conversion = await convert(`FROM busybox AS build\nRUN x\nFROM scratch\nCOPY --from=${from} /a /b\n`);
  expect(opOf(conversion, "file").actions).toMatchObject([{ keepOwner: true, source: "a" }]);
  expect(historyOf(conversion)).toEqual(["COPY /a /b # buildkit"]);
});

test("--from an empty stage is a copy from an empty tree", async () => {
  const conversion = await convert("FROM scratch AS nothing\nFROM scratch\nCOPY --from=nothing / /\n");
  expect(conversion.target?.inputs[0]?.op).toEqual({ kind: "file", base: "scratch", actions: [] });
});

test("--link copies into an empty tree that is laid on top", async () => {
  const conversion = await convert("FROM busybox\nCOPY --link a /b\n");
  expect(conversion.target?.op).toEqual({ kind: "merge" });
  expect(conversion.target?.inputs.map((input) => input.op.kind)).toEqual(["image", "file"]);
  expect(opOf(conversion, "file")).toMatchObject({ base: "scratch", actions: [{ input: 0, link: true }] });
  expect(conversion.history.at(-1)).toMatchObject({
    createdBy: "COPY a /b # buildkit",
    vertex: conversion.target?.inputs[1],
  });
  expect([...conversion.meta.values()].map((step) => step.name).slice(1)).toEqual([
    "[2/2] COPY --link a /b",
    "[2/2] LINK COPY --link a /b",
    "[internal] load build context",
  ]);
});

test("--link on scratch needs no merge, and with --chmod it is an ordinary copy", async () => {
  expect((await convert("FROM scratch\nCOPY --link a /b\n")).target?.op.kind).toBe("file");
  const conversion = await convert("FROM busybox\nCOPY --link --chmod=755 a /b\n");
  expect(opOf(conversion, "file")).toMatchObject({ base: "input", actions: [{ link: false }] });
});

test("a --link copy names the tree it will lie on, so that parent directories match", async () => {
  const conversion = await convert("FROM busybox\nCOPY --link a b /d/\n");
  const [base, copied] = conversion.target?.inputs ?? [];
  expect(copied?.op).toMatchObject({ base: "scratch", way: { input: 1, path: "/d/" } });
  expect(copied?.inputs[1]).toBe(base);
  expect((await convert("FROM scratch\nCOPY --link a /b\n")).target?.op).not.toHaveProperty("way");
});

test("here-documents become files after the paths, expanded unless quoted", async () => {
  const text = "FROM busybox\nENV A=1\nCOPY <<one <<-'two' file /d/\nx $A \"q\" \\$A\none\n\ty $A\n\ttwo\n";
  const conversion = await convert(text);
  const files = opsOf(conversion, "file")
    .flatMap((op) => op.actions)
    .filter((action) => action.kind === "mkfile");
  expect(files).toMatchObject([
    { path: "/one", mode: 0o644, text: 'x 1 "q" $A\n' },
    { path: "/two", mode: 0o644, text: "y $A\n" },
  ]);
  expect(historyOf(conversion).at(-1)).toBe("COPY file <<one <<two /d/ # buildkit");
  const copy = verticesOf(conversion).at(-1)?.op;
  expect(copy?.kind === "file" && copy.actions.map((action) => action.kind === "copy" && action.source)).toEqual([
    "file",
    "one",
    "two",
  ]);
});

const HTTP = { kind: "http", checksum: undefined, mode: 0o600, uid: 0, gid: 0 };
const GIT = {
  kind: "git",
  ref: undefined,
  subdir: undefined,
  keepGitDir: false,
  submodules: true,
  checksum: undefined,
  mtime: "checkout",
};
const DIGEST = `sha256:${"a".repeat(64)}`;

test.each([
  {
    line: "ADD https://h/d/f.tar?x=1 /b",
    op: { ...HTTP, url: "https://h/d/f.tar?x=1", filename: "f.tar" },
    source: "f.tar",
    unpack: "never",
  },
  {
    line: "ADD --unpack https://h/f.tar /b",
    op: { ...HTTP, url: "https://h/f.tar", filename: "f.tar" },
    source: "f.tar",
    unpack: "auto",
  },
  {
    line: "ADD https://h/ /b",
    op: { ...HTTP, url: "https://h/", filename: "__unnamed__" },
    source: "__unnamed__",
    unpack: "never",
  },
  {
    line: "ADD https://h/a%20b /b",
    op: { ...HTTP, url: "https://h/a%20b", filename: "a b" },
    source: "a b",
    unpack: "never",
  },
  {
    line: `ADD --checksum=${DIGEST} http://h/f /b`,
    op: { ...HTTP, url: "http://h/f", filename: "f", checksum: DIGEST },
    source: "f",
    unpack: "never",
  },
  { line: "ADD https://h/r.git /b", op: { ...GIT, remote: "https://h/r.git" }, source: ".", unpack: "never" },
  {
    line: "ADD https://h/r.git#v1:sub /b",
    op: { ...GIT, remote: "https://h/r.git", ref: "v1", subdir: "sub" },
    source: ".",
    unpack: "never",
  },
  { line: "ADD git@h:r.git#v1 /b", op: { ...GIT, remote: "git@h:r.git", ref: "v1" }, source: ".", unpack: "never" },
  {
    line: "ADD --keep-git-dir git://h/r /b",
    op: { ...GIT, remote: "git://h/r", keepGitDir: true },
    source: ".",
    unpack: "never",
  },
  {
    line: "ADD --checksum=abcdef1 https://h/r.git /b",
    op: { ...GIT, remote: "https://h/r.git", checksum: "abcdef1" },
    source: ".",
    unpack: "never",
  },
])("$line", async ({ line, op, source, unpack }) => {
  const conversion = await convert(`FROM scratch\n${line}\n`);
  expect(conversion.target?.inputs[0]?.op).toEqual(op);
  expect(opOf(conversion, "file").actions).toMatchObject([{ source, unpack, keepOwner: true, destination: "/b" }]);
});

test.each([
  { line: "COPY https://h/f /b", message: /source can't be a URL for COPY/ },
  { line: "COPY https://h/f.git /b", message: /source can't be a git ref for COPY/ },
  { line: "COPY --chmod=rwx a /b", message: /octal string/ },
  { line: "ADD http:// /b", message: /Cannot add "http:\/\/": it is no URL/ },
  { line: "ADD --checksum=x a /b", message: /checksum requires HTTP\(S\) or Git sources/ },
  { line: `ADD --checksum=${DIGEST} https://h/a https://h/b /b`, message: /can't be specified for multiple sources/ },
  { line: "ADD --checksum=md5:1 https://h/a /b", message: /not a sha256 digest/ },
  { line: "ADD --checksum=zzz https://h/r.git /b", message: /expected hex commit hash/ },
  { line: "ADD --checksum=abcdef1 https://h/r.git?checksum=abcdef2 /b", message: /checksum mismatch/ },
  { line: "ADD --keep-git-dir=false https://h/r.git?keep-git-dir=1 /b", message: /inconsistent keep-git-dir/ },
  { line: "ADD https://h/r.git?nope=1 /b", message: /unexpected query "nope"/ },
])("$line fails on its line", async ({ line, message }) => {
  const error = await failure(convert(`FROM scratch\n${line}\n`));
  expect(error.message).toMatch(message);
  expect(error.span?.start.line).toBe(2);
});

test("two here-documents with one name are one file, copied twice", async () => {
  const conversion = await convert("FROM scratch\nCOPY <<E <<E /d/\na\nE\nb\nE\n");
  expect(opsOf(conversion, "file").at(-1)?.actions).toMatchObject([
    { source: "E", input: 0 },
    { source: "E", input: 0 },
  ]);
});

test.each([
  { body: "x\n${A", line: 4, says: /^failed to process "\$\{A\\n": unsupported modifier/ },
  { body: "${A:-x\ny}\n${B:-x\ny", line: 5, says: /^failed to process "\$\{B:-x\\ny\\n": .*missing '}'/ },
  { body: "${A:-x\ny}\n${B:-x\n${C:?is needed}}", line: 5, says: /^failed to process "\$\{B:-x\\n.*C: is needed/ },
  { body: "${A:-x\ny}\n$B ${C:?is\nneeded}", line: 5, says: /^failed to process "\$B \$\{C.*C: is\nneeded/ },
])("a brace that is open at the end of a line, $body, is shown where it stands", async ({ body, line, says }) => {
  const error = await failure(convert(`FROM scratch\nCOPY <<E /f\n${body}\nE\n`));
  expect([error.message, error.span?.start.line, error.span?.end.line]).toEqual([
    expect.stringMatching(says),
    line,
    line,
  ]);
});

test("a variable that fails in a here-document is shown at its line", async () => {
  const body = Array.from({ length: 30 }, (_, at) => (at === 17 ? "b=${NONE:?is needed}" : `line ${String(at)} \\$x`));
  const error = await failure(convert(`FROM scratch\nCOPY <<E /f\n${body.join("\n")}\nE\n`));
  expect([error.code, error.span?.start.line, error.span?.end.line]).toEqual(["dockerfile/expansion", 20, 20]);
  expect(error.message).toBe('failed to process "b=${NONE:?is needed}": NONE: is needed');
});
