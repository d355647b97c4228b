import { expect, test } from "vitest";
import { BuildError } from "./errors.ts";
import {
  DIGEST,
  FLAG,
  list,
  mapOf,
  nullable,
  NUMBER,
  object,
  oneOf,
  optional,
  readAs,
  readJsonAs,
  recallAs,
  type Shape,
  tagged,
  TEXT,
} from "./shape.ts";

interface Part {
  readonly name: string;
  readonly size?: number;
}
const part: Shape<Part> = object<Part>({ name: TEXT, size: optional(NUMBER) });

type Tree = { readonly kind: "leaf"; readonly value: string } | { readonly kind: "many"; readonly of: readonly Part[] };
const tree: Shape<Tree> = tagged<Tree, "kind">("kind", {
  leaf: object({ kind: oneOf("leaf"), value: TEXT }),
  many: object({ kind: oneOf("many"), of: list(part) }),
});

const bad = (why: string): BuildError => new BuildError("store/corrupt", why);

test.each<{ name: string; shape: Shape<unknown>; value: unknown; why: string }>([
  { name: "a number for a text", shape: TEXT, value: 1, why: "it is not a text" },
  { name: "text that is no digest", shape: DIGEST, value: "sha256:1", why: "it is not a sha256 digest" },
  { name: "another word", shape: oneOf("a", "b"), value: "c", why: "it is not one of a, b" },
  { name: "an object for a list", shape: list(TEXT), value: {}, why: "it is not a list" },
  { name: "an item of a list", shape: list(list(TEXT)), value: [["a"], ["b", 2]], why: "[1][1] is not a text" },
  { name: "a list for an object", shape: part, value: [], why: "it is not an object" },
  { name: "null for an object", shape: part, value: null, why: "it is not an object" },
  { name: "a missing member", shape: part, value: {}, why: "name is not a text" },
  {
    name: "an inherited member",
    shape: mapOf(object({ toString: TEXT })),
    value: { a: {} },
    why: "a.toString is not a text",
  },
  {
    name: "null for a member that may be missing",
    shape: part,
    value: { name: "a", size: null },
    why: "size is not a number",
  },
  { name: "a member of a map", shape: mapOf(FLAG), value: { a: true, b: "yes" }, why: "b is not true or false" },
  { name: "an unknown kind", shape: tree, value: { kind: "root" }, why: "kind is not one of leaf, many" },
  {
    name: "a member of a kind",
    shape: list(tree),
    value: [{ kind: "many", of: [{ name: 1 }] }],
    why: "[0].of[0].name is not a text",
  },
])("$name is told with its place", ({ shape, value, why }) => {
  expect(() => readAs(shape, value, bad)).toThrow(expect.objectContaining({ code: "store/corrupt", message: why }));
  expect(shape.fits(value)).toBe(false);
});

test("what fits is the value itself, with what the shape does not name", () => {
  const value = {
    kind: "many",
    of: [
      { name: "a", extra: 1 },
      { name: "b", size: 2 },
    ],
    added: "later",
  };
  expect(readAs(tree, value, bad)).toBe(value);
  expect(nullable(tree).fits(null)).toBe(true);
});

test("text that is no JSON is told, and counts as nothing where it is only remembered", () => {
  expect(() => readJsonAs(TEXT, "{", bad)).toThrow("it is not JSON");
  expect(readJsonAs(TEXT, '"a"', bad)).toBe("a");
  expect(recallAs(TEXT, Buffer.from("{"))).toBeUndefined();
  expect(recallAs(TEXT, Buffer.from('"a"'))).toBe("a");
  expect(recallAs(TEXT, Buffer.from("1"))).toBeUndefined();
});
