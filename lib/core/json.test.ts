import fc from "fast-check";
import { expect, test } from "vitest";
import { canonicalJson, parseJson } from "./json.ts";

test("canonicalJson ignores the order in which keys were inserted", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.integer()), (members) => {
      const reversed = Object.fromEntries(Object.entries(members).toReversed());
      expect(canonicalJson(reversed)).toBe(canonicalJson(members));
    }),
  );
});

test("canonicalJson is JSON that reads back as the same value", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
      // -0 is written as 0 by every JSON writer.
      expect(JSON.parse(canonicalJson(JSON.parse(JSON.stringify(value))))).toEqual(JSON.parse(JSON.stringify(value)));
    }),
  );
});

test("canonicalJson leaves out members that are undefined", () => {
  expect(canonicalJson({ b: undefined, a: [1, "x", null, true] })).toBe('{"a":[1,"x",null,true]}');
});

test("parseJson answers undefined for what is not JSON", () => {
  expect(parseJson("{")).toBeUndefined();
  expect(parseJson("null")).toBeNull();
});
