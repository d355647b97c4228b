import fc from "fast-check";
import { expect, test } from "vitest";
import type { Digest } from "../../src/core/digest.ts";
import type { KeyPart } from "../../src/store/model.ts";
import { type CopyAction, type ExecOp, type FileOp, GROUP_SIZE } from "../graph/op.ts";
import { contentKey, definitionKey, definitionText, ownParts, OwnTexts, sameWork } from "./key.ts";

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

const keyOf = (op: ExecOp | FileOp, argNames: readonly string[] = []): Digest => definitionKey(ownParts(op, argNames));

// Whoever changes one of these throws away every user's cache. Then FORMAT is raised too, and it should hurt.
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
        "value": "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
      },
      {
        "basis": "definition",
        "name": "parent",
        "value": "p",
      },
    ]
  `);
  expect(definitionKey(parts)).toMatchInlineSnapshot(
    `"sha256:2b1fee61fba66b53d18065ae13059f51eaef8f1d3d61010bddfaf56a22b9f226"`,
  );
  expect(contentKey(parts)).toBeUndefined();
  expect(contentKey([...parts, { name: "parent", value: "c", basis: "content" }])).toMatchInlineSnapshot(
    `"sha256:187805b56f24eba7af0723bedfb632ba45ec34e3ee7b622bba9f233722d48e7f"`,
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
    const action: CopyAction = {
      kind: "copy",
      input: 1,
      source,
      wildcard: false,
      destination: "/app/",
      owner: undefined,
      mode: undefined,
      excludes: [],
      parents: false,
      unpack: "never",
      keepOwner: false,
      link: false,
      timestamp: undefined,
    };
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
  expect(value("ENV NPM_TOKEN")).toMatch(/^sha256:/);
  expect(value("ENV LONG")).toMatch(/^sha256:/);
  expect(value("ENV A")).toBe("1");
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
