import fc from "fast-check";
import { expect, test } from "vitest";
import { type Digest, digestOf } from "../../lib/core/digest.ts";
import type { KeyPart } from "../../lib/store/model.ts";
import { type ExecMount, type ExecOp, type FileOp, GROUP_SIZE, type MkfileAction } from "../graph/op.ts";
import { plainCopy } from "../graph/plain-copy.ts";
import { contentKey, definitionText, keyOfText, ownParts, OwnTexts, sameWork, shownValue } from "./key.ts";
import { usesOf } from "./uses.ts";

const RUN: ExecOp = {
  kind: "exec",
  argv: ["/bin/sh", "-c", "make"],
  env: [["PATH=/bin", "TOKEN=x"]],
  cwd: "/src",
  user: "app",
  hostname: undefined,
  network: "default",
  security: "sandbox",
  scratchRoot: false,
  mounts: [
    {
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
  ],
  shmSizeBytes: undefined,
  ulimits: [],
  extraHosts: [],
  cgroupParent: undefined,
  platform: { os: "linux", architecture: "amd64" },
};

const MKFILE: MkfileAction = {
  kind: "mkfile",
  path: "/f",
  mode: 0o644,
  text: "",
  owner: undefined,
  timestamp: undefined,
};

const definitionKey = (parts: readonly KeyPart[]): Digest => keyOfText(definitionText(parts));
const keyOf = (op: ExecOp | FileOp, argNames: readonly string[] = []): Digest => definitionKey(ownParts(op, argNames));

// A change of one of these discards every user's cache. Then FORMAT is raised too, and it should hurt.
test("the key of one fixed command", () => {
  const parts: KeyPart[] = [...ownParts(RUN, ["TOKEN"]), { name: "parent", value: "p", basis: "definition" }];
  expect(parts).toMatchInlineSnapshot(`
    [
      {
        "name": "kind",
        "value": "exec",
      },
      {
        "name": "command",
        "value": "["/bin/sh","-c","make"]",
      },
      {
        "name": "WORKDIR",
        "value": "/src",
      },
      {
        "name": "USER",
        "value": "app",
      },
      {
        "name": "platform",
        "value": "linux/amd64",
      },
      {
        "name": "network",
        "value": "default",
      },
      {
        "name": "security",
        "value": "sandbox",
      },
      {
        "name": "mount /root/.cache",
        "value": "{"gid":0,"mode":"rw","permissions":493,"seeded":false,"type":"cache","uid":0}",
      },
      {
        "name": "ENV PATH",
        "value": "/bin",
      },
      {
        "name": "ARG TOKEN",
        "value": "digest of sha256:ba2df4903a2c14e86dc3bcca58911b44ac1d2514b7227bf6eb08cfb978f55a1b",
      },
      {
        "basis": "definition",
        "name": "parent",
        "value": "p",
      },
    ]
  `);
  expect(definitionKey(parts)).toMatchInlineSnapshot(
    `"sha256:a07db4fee5247296a8f73df77dbf09b5cf78fe2ca405ccabc067f38a85167a04"`,
  );
  expect(contentKey(parts)).toBeUndefined();
  expect(contentKey([...parts, { name: "parent", value: "c", basis: "content" }])).toMatchInlineSnapshot(
    `"sha256:ad9f0cd87364aa35111448648d50f8d3169907715329e45d4533dfb4f6b91849"`,
  );
});

test.each<{ name: string; op: ExecOp }>([
  { name: "the command", op: { ...RUN, argv: ["/bin/sh", "-c", "make all"] } },
  { name: "a variable's value", op: { ...RUN, env: [["PATH=/bin", "TOKEN=y"]] } },
  { name: "the order of variables", op: { ...RUN, env: [["TOKEN=x", "PATH=/bin"]] } },
  { name: "the directory", op: { ...RUN, cwd: "/" } },
  { name: "the user", op: { ...RUN, user: "" } },
  { name: "the network", op: { ...RUN, network: "none" } },
  { name: "a host name", op: { ...RUN, extraHosts: ["db"] } },
  { name: "a limit", op: { ...RUN, ulimits: [{ name: "nofile", soft: 1, hard: 2 }] } },
  { name: "the platform", op: { ...RUN, platform: { os: "linux", architecture: "arm64" } } },
  { name: "a mount", op: { ...RUN, mounts: [] } },
  { name: "shared memory", op: { ...RUN, shmSizeBytes: 1 } },
])("$name is in a command's key", ({ op }) => {
  expect(keyOf(op)).not.toBe(keyOf(RUN));
});

test("a cache mount's id and sharing, and whether ARG or ENV sets a variable, are not", () => {
  const [cache] = RUN.mounts;
  if (cache?.type !== "cache") throw new Error("no cache");
  expect(keyOf({ ...RUN, mounts: [{ ...cache, id: "other", sharing: "locked" }] })).toBe(keyOf(RUN));
  expect(keyOf(RUN, ["TOKEN"])).toBe(keyOf(RUN));
});

test("of where a copy's source is, only the last name is in its key", () => {
  const copy = (source: string): FileOp => {
    const action = plainCopy({ input: 1, source, destination: "/app/", keepOwner: false });
    return { kind: "file", base: "input", actions: [action] };
  };
  expect(keyOf(copy("a/x"))).toBe(keyOf(copy("b/c/x")));
  expect(keyOf(copy("a/x"))).not.toBe(keyOf(copy("a/y")));
});

test("the text of an op is that of its parts", () => {
  const texts = new OwnTexts();
  const many = Array.from({ length: 2 * GROUP_SIZE + 1 }, (_, n) => `V${n}=${n}`);
  const env = [0, 1, 2].map((n) => many.slice(n * GROUP_SIZE, (n + 1) * GROUP_SIZE));
  const full = { ...RUN, env: env.slice(0, 2) };
  const ops = [RUN, { ...RUN, env }, full, { ...RUN, env: [] }, { ...RUN, cwd: "/" }, { kind: "merge" } as const];
  for (const op of [...ops, ...ops]) expect(texts.of(op)).toBe(definitionText(ownParts(op, ["TOKEN"])));
});

test("values that may be secrets are kept as digests, long ones too", () => {
  const parts = ownParts({ ...RUN, env: [["NPM_TOKEN=hunter2", `LONG=${"x".repeat(500)}`, "A=1"]] }, []);
  const value = (name: string): string | undefined => parts.find((part) => part.name === name)?.value;
  expect(value("ENV NPM_TOKEN")).toMatch(/^digest of sha256:/);
  expect(value("ENV LONG")).toMatch(/^digest of sha256:/);
  expect(value("ENV A")).toBe("1");
});

test("no two values look alike in a key, whatever they say of each other", () => {
  const long = "x".repeat(500);
  const others = (text: string): string[] => [
    digestOf(text),
    `digest of ${digestOf(text)}`,
    `digest of ${digestOf(JSON.stringify(text))}`,
    shownValue(text),
    JSON.stringify(text),
  ];
  const values = [
    long,
    "y".repeat(500),
    ...others(long),
    ...others(shownValue(long)),
    "\ud800".repeat(300),
    "\ufffd".repeat(300),
  ];
  const distinct = new Set(values);
  expect(new Set([...distinct].map(shownValue)).size).toBe(distinct.size);
  const keys = (make: (value: string) => ExecOp | FileOp): number =>
    new Set([...distinct].map((value) => keyOf(make(value)))).size;
  expect(keys((value) => ({ ...RUN, env: [[`A=${value}`]] }))).toBe(distinct.size);
  expect(keys((value) => ({ ...RUN, env: [[`TOKEN=${value}`]] }))).toBe(distinct.size);
  expect(keys((value) => ({ ...RUN, argv: [value] }))).toBe(distinct.size);
  expect(keys((text) => ({ kind: "file", base: "input", actions: [{ ...MKFILE, text }] }))).toBe(distinct.size);
  expect(keys((path) => ({ kind: "file", base: "input", actions: [{ ...MKFILE, path }] }))).toBe(distinct.size);
});

test("names of hosts are not run together", () => {
  expect(keyOf({ ...RUN, extraHosts: ["a b"] })).not.toBe(keyOf({ ...RUN, extraHosts: ["a", "b"] }));
});

test("mounts over one another are parts of their own", () => {
  const mount = (source: string): ExecMount => ({ type: "bind", target: "/x", input: 1, source, mode: "ro" });
  const parts = usesOf({ ...RUN, mounts: [mount("a"), mount("b")] }, 2).map(({ part }) => part);
  expect(parts).toEqual(["parent", "files in /x", "files in /x (2)"]);
});

test("no two lists of parts share a key, whatever stands in names and values", () => {
  const names = fc.oneof(fc.string(), fc.constantFrom("ENV A", "ARG A", "ENV B", "kind"));
  const part = fc.record({ name: names, value: fc.string() });
  fc.assert(
    fc.property(fc.array(part, { maxLength: 4 }), fc.array(part, { maxLength: 4 }), (a, b) => {
      // ARG and ENV of one name are the same part.
      const plain = (parts: typeof a): string =>
        JSON.stringify(parts.map(({ name, value }) => [name.replace(/^ARG /, "ENV "), value]));
      expect(definitionKey(a) === definitionKey(b)).toBe(plain(a) === plain(b));
    }),
  );
});

test("the same work on other inputs is the same work", () => {
  const own = ownParts(RUN, []);
  expect(sameWork([...own, { name: "parent", value: "1", basis: "definition" }], own)).toBe(true);
  expect(sameWork([...own, { name: "files", value: "1" }], own)).toBe(false);
});
