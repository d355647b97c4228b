import { expect, test } from "vitest";
import { withoutCompileCache } from "../../scripts/compile-cache.ts";

const number = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
const entry = (name: string, data: Buffer): Buffer =>
  Buffer.concat([number(name.length), Buffer.from(name), number(data.length), data]);

const HEAP = Buffer.from("heap ".repeat(100));
const LIST = [entry("internal/fs/utils", Buffer.alloc(300, 7)), entry("path/posix", Buffer.alloc(5, 1))];

test("the compile cache at the end of a snapshot is emptied, and nothing before it changes", () => {
  const slim = withoutCompileCache(Buffer.concat([HEAP, number(2), ...LIST]));
  expect(slim).toEqual(Buffer.concat([HEAP, number(0)]));
});

test.each([
  { name: "another count than entries", bytes: Buffer.concat([HEAP, number(3), ...LIST]) },
  { name: "bytes behind the list", bytes: Buffer.concat([HEAP, number(2), ...LIST, Buffer.from("more")]) },
  { name: "a list that breaks off", bytes: Buffer.concat([HEAP, number(2), ...LIST]).subarray(0, -1) },
  { name: "names that no module has", bytes: Buffer.concat([HEAP, number(1), entry("a b\0", Buffer.alloc(3))]) },
  { name: "no list", bytes: HEAP },
])("a snapshot with $name is left as it is", ({ bytes }) => {
  expect(withoutCompileCache(bytes)).toBeUndefined();
});
