import { expect, test } from "vitest";
import type { Digest } from "../../lib/core/digest.ts";
import type { KeyPart } from "../../lib/store/model.ts";
import { explainMiss } from "./explain.ts";
import { missText } from "./reason-text.ts";

const LISTINGS: Readonly<Record<string, string>> = {
  before:
    "./\td\nsrc/a.ts\tf\t0644\t0\t0\t3\tsha256:1\nrun.sh\tf\t0664\t0\t0\t3\tsha256:2\ngone\tf\t0644\t0\t0\t1\tsha256:3\n",
  after:
    "./\td\nsrc/a.ts\tf\t0644\t0\t0\t4\tsha256:9\nrun.sh\tf\t0644\t0\t0\t3\tsha256:2\nnew\tl\t0777\t0\t0\t0\ta.ts\n",
};
const readListing = (digest: Digest): string | undefined => LISTINGS[digest];
const on = { wasPruned: false, stepOf: (name: string) => `step of ${name}`, readListing };
const COMMAND: KeyPart = { name: "command", value: "npm ci" };

function reasonOf(before: readonly KeyPart[], after: readonly KeyPart[]): string {
  return missText(explainMiss(after, [{ parts: before }], on));
}

test.each<{ name: string; before: KeyPart[]; after: KeyPart[]; reason: string }>([
  {
    name: "an argument",
    before: [COMMAND, { name: "ARG GIT_SHA", value: "1" }],
    after: [COMMAND, { name: "ARG GIT_SHA", value: "2" }],
    reason: "ARG GIT_SHA changed",
  },
  {
    name: "a working directory",
    before: [{ name: "mkdir 0", value: "/a" }],
    after: [{ name: "mkdir 0", value: "/b" }],
    reason: "path, owner or mode of the directory changed",
  },
  {
    name: "the epoch",
    before: [{ name: "mkdir 0", value: '{"path":"/a","timestamp":1}' }],
    after: [{ name: "mkdir 0", value: '{"path":"/a","timestamp":2}' }],
    reason: "SOURCE_DATE_EPOCH changed",
  },
  {
    name: "flags of a copy",
    before: [{ name: "copy 0", value: '{"destination":"/a","link":true}' }],
    after: [{ name: "copy 0", value: '{"destination":"/b","link":false}' }],
    reason: "destination and --link changed",
  },
  {
    name: "a named context of another kind",
    before: [
      { name: "files", value: "1", listing: "before" as Digest },
      { name: "source of files", value: "local ", basis: "note" },
    ],
    after: [
      { name: "files", value: "2", basis: "definition" },
      { name: "source of files", value: "image docker.io/library/a:latest", basis: "note" },
    ],
    reason: "copied from an image, and before from a local directory",
  },
  {
    name: "a repository that moved",
    before: [
      { name: "files", value: "1", basis: "definition" },
      { name: "source of files", value: `git ${"a".repeat(40)}`, basis: "note" },
    ],
    after: [
      { name: "files", value: "2", basis: "definition" },
      { name: "source of files", value: `git ${"b".repeat(40)}`, basis: "note" },
    ],
    reason: "git repository moved: aaaaaaaaaaaa -> bbbbbbbbbbbb",
  },
  {
    name: "a platform and a limit",
    before: [
      { name: "platform", value: "linux/amd64" },
      { name: "ulimit nofile", value: "1:1" },
    ],
    after: [
      { name: "platform", value: "linux/arm64" },
      { name: "ulimit nofile", value: "2:2" },
    ],
    reason: "platform linux/amd64 -> linux/arm64, --ulimit nofile changed",
  },
  {
    name: "a base where a step was",
    before: [{ name: "parent", value: "1", basis: "definition" }],
    after: [
      { name: "parent", value: "2", basis: "definition" },
      { name: "FROM", value: "node:22", basis: "note" },
    ],
    reason: "directly on FROM node:22 now",
  },
  {
    name: "a variable that is new and one that is gone",
    before: [COMMAND, { name: "ENV A", value: "1" }],
    after: [COMMAND, { name: "ENV B", value: "1" }],
    reason: "ENV B added, ENV A removed",
  },
  {
    name: "the order of variables",
    before: [COMMAND, { name: "ENV A", value: "1" }, { name: "ENV B", value: "1" }],
    after: [COMMAND, { name: "ENV B", value: "1" }, { name: "ENV A", value: "1" }],
    reason: "order of the environment changed",
  },
  {
    name: "files",
    before: [{ name: "files", value: "1", listing: "before" as Digest }],
    after: [{ name: "files", value: "2", listing: "after" as Digest }],
    reason: "src/a.ts (content), run.sh (mode 0664 -> 0644), new (added), gone (removed)",
  },
  {
    name: "files with a collected listing",
    before: [{ name: "files", value: "1", listing: "lost" as Digest }],
    after: [{ name: "files", value: "2", listing: "after" as Digest }],
    reason: "files changed",
  },
  {
    name: "a base image with the same name",
    before: [
      { name: "parent", value: "1", basis: "definition" },
      { name: "FROM", value: "node:22", basis: "note" },
    ],
    after: [
      { name: "parent", value: "2", basis: "definition" },
      { name: "FROM", value: "node:22", basis: "note" },
    ],
    reason: "FROM node:22: digest moved",
  },
  {
    name: "another base image",
    before: [
      { name: "parent", value: "1", basis: "definition" },
      { name: "FROM", value: "node:20", basis: "note" },
    ],
    after: [
      { name: "parent", value: "2", basis: "definition" },
      { name: "FROM", value: "node:22", basis: "note" },
    ],
    reason: "FROM node:20 -> node:22",
  },
  {
    name: "the step before",
    before: [{ name: "parent", value: "1", basis: "definition" }],
    after: [{ name: "parent", value: "2", basis: "definition" }],
    reason: "after step of parent",
  },
  {
    name: "not the stage that gave the same files another way, but the parent",
    before: [
      { name: "parent", value: "1", basis: "definition" },
      { name: "files", value: "1", basis: "definition" },
      { name: "files", value: "same", basis: "content" },
    ],
    after: [
      { name: "parent", value: "2", basis: "definition" },
      { name: "files", value: "2", basis: "definition" },
      { name: "files", value: "same", basis: "content" },
    ],
    reason: "after step of parent",
  },
])("a miss is explained by $name", ({ before, after, reason }) => {
  expect(reasonOf(before, after)).toBe(reason);
});

test("the nearest earlier record is compared with, not the latest", () => {
  const parts = (a: string, b: string, c: string): KeyPart[] => [
    { name: "A", value: a },
    { name: "B", value: b },
    { name: "C", value: c },
  ];
  const earlier = [{ parts: parts("9", "9", "9") }, { parts: parts("1", "1", "2") }];
  expect(missText(explainMiss(parts("1", "1", "1"), earlier, on))).toBe("C changed");
});

test("a site that was never built, and a key with a collected record", () => {
  expect(missText(explainMiss([COMMAND], [], on))).toBe("never built here");
  expect(missText(explainMiss([COMMAND], [], { ...on, wasPruned: true }))).toBe("cache was pruned");
});

test("many changed files are counted", () => {
  const listing = (content: string): string =>
    Array.from({ length: 12 }, (_, i) => `f${i}\tf\t0644\t0\t0\t1\t${content}\n`).join("");
  const read = (digest: Digest): string => listing(digest);
  const reason = explainMiss(
    [{ name: "files", value: "2", listing: "2" as Digest }],
    [{ parts: [{ name: "files", value: "1", listing: "1" as Digest }] }],
    { ...on, readListing: read },
  );
  expect(missText(reason)).toMatch(/^f0 \(content\), .*f4 \(content\) and 7 more$/);
});
