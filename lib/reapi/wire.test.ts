import fc from "fast-check";
import { expect, test } from "vitest";
import { BuildError } from "../core/errors.ts";
import { bytes, flag, int, ints, message, part, parts, text, texts } from "./wire.ts";

const Inner = message<{ name: string; size: number }>({ name: text(1), size: int(2) });
const Outer = message<{
  count: number;
  isOn: boolean;
  title: string;
  data: Uint8Array;
  words: readonly string[];
  codes: readonly number[];
  inner: { name: string; size: number } | undefined;
  all: readonly { name: string; size: number }[];
}>({
  count: int(1),
  isOn: flag(2),
  title: text(3),
  data: bytes(10),
  words: texts(4),
  codes: ints(5),
  inner: part(6, Inner),
  all: parts(200, Inner),
});

const hex = (digits: string): Buffer => Buffer.from(digits.replaceAll(" ", ""), "hex");

test.each([
  { name: "a number", message: { count: 150 }, encoded: "08 96 01" },
  { name: "a negative number, in ten bytes", message: { count: -1 }, encoded: "08 ff ff ff ff ff ff ff ff ff 01" },
  { name: "a number beyond 32 bits", message: { count: 2 ** 40 }, encoded: "08 80 80 80 80 80 20" },
  { name: "a text", message: { title: "testing" }, encoded: "1a 07 74 65 73 74 69 6e 67" },
  { name: "a message in a message", message: { inner: { name: "", size: 150 } }, encoded: "32 03 10 96 01" },
  {
    name: "an empty message, which is there all the same",
    message: { inner: { name: "", size: 0 } },
    encoded: "32 00",
  },
  { name: "entries of a list, empty ones too", message: { words: ["a", ""] }, encoded: "22 01 61 22 00" },
  { name: "defaults, which are left out", message: { count: 0, isOn: false, title: "" }, encoded: "" },
])("writes and reads $name", ({ message: given, encoded }) => {
  expect(Outer.encode(given).toString("hex")).toBe(encoded.replaceAll(" ", ""));
  expect(Outer.decode(hex(encoded))).toEqual(Outer.of(given));
});

test.each([
  { name: "packed numbers", encoded: "2a 03 01 96 01", message: { codes: [1, 150] } },
  { name: "numbers one by one", encoded: "28 01 28 96 01", message: { codes: [1, 150] } },
  { name: "the last of a repeated field", encoded: "08 01 08 02", message: { count: 2 } },
  {
    name: "past unknown fields of every form",
    encoded: "78 01 79 0102030405060708 7a 01 00 7d 01020304 08 05",
    message: { count: 5 },
  },
])("reads $name", ({ encoded, message: expected }) => {
  expect(Outer.decode(hex(encoded))).toEqual(Outer.of(expected));
});

test.each([
  { name: "ends within a number", encoded: "08 96" },
  { name: "ends within a field", encoded: "1a 07 74" },
  { name: "has a field of another form", encoded: "0a 01 00" },
  { name: "has a number beyond 2^53", encoded: "08 ff ff ff ff ff ff ff ff 7f" },
  { name: "has a number without an end", encoded: "08 ff ff ff ff ff ff ff ff ff ff ff 01" },
  { name: "has a group", encoded: "7b" },
])("refuses a message that $name", ({ encoded }) => {
  expect(() => Outer.decode(hex(encoded))).toThrow(BuildError);
});

test("reads what it wrote", () => {
  const inner = fc.record({ name: fc.string(), size: fc.maxSafeInteger() });
  const outer = fc.record({
    count: fc.maxSafeInteger(),
    isOn: fc.boolean(),
    title: fc.string({ unit: "binary" }),
    data: fc.uint8Array(),
    words: fc.array(fc.string()),
    codes: fc.array(fc.nat()),
    inner: fc.option(inner, { nil: undefined }),
    all: fc.array(inner),
  });
  fc.assert(
    fc.property(outer, (given) => {
      const read = Outer.decode(Outer.encode(given));
      expect({ ...read, data: Buffer.from(read.data) }).toEqual({ ...given, data: Buffer.from(given.data) });
    }),
  );
});

test("survives any bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (given) => {
      try {
        Outer.decode(given);
      } catch (error) {
        expect(error).toBeInstanceOf(BuildError);
      }
    }),
    { numRuns: 2000 },
  );
});
