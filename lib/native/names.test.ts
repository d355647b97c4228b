import fc from "fast-check";
import { expect, test } from "vitest";
import { compareNames, decodeName, encodeName } from "./names.ts";

test("every byte string comes back from its name", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const name = decodeName(bytes);
      expect([...encodeName(name)]).toEqual([...bytes]);
    }),
  );
});

test("a name that holds U+FFFD itself is kept", () => {
  const bytes = Buffer.from("a\ufffdb");
  expect(decodeName(bytes)).toBe("a\ufffdb");
  expect(encodeName("a\ufffdb")).toEqual(bytes);
});

test("names sort as their bytes do", () => {
  const name = fc.oneof(fc.uint8Array({ maxLength: 6 }), fc.constantFrom(Buffer.from("ﬀ"), Buffer.from("😀")));
  fc.assert(
    fc.property(name, name, (left, right) => {
      expect(Math.sign(compareNames(decodeName(left), decodeName(right)))).toBe(Buffer.compare(left, right));
    }),
  );
});
