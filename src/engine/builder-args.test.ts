import { expect, test } from "vitest";
import { BUILDER_ARGS, isMultiPlatform, uselessBuilderArgs } from "./builder-args.ts";

test.each([...BUILDER_ARGS])("%s works or is told about: %s", (name, what) => {
  const told = uselessBuilderArgs(new Map([[name, "1"]]));
  expect(told).toEqual(what === "works" ? [] : [`--build-arg ${name} has no effect: ${what}`]);
});

test("nothing is said of what is off, or of the Dockerfile's own arguments", () => {
  const given = { BUILDKIT_INLINE_CACHE: "0", BUILDKIT_MULTI_PLATFORM: "false", BUILDKIT_BUILD_NAME: "", VERSION: "1" };
  expect(uselessBuilderArgs(new Map(Object.entries(given)))).toEqual([]);
});

test.each([
  { arg: undefined, platforms: 1, is: false },
  { arg: "", platforms: 2, is: true },
  { arg: "0", platforms: 1, is: false },
  { arg: "1", platforms: 1, is: true },
  { arg: "True", platforms: 2, is: true },
])("BUILDKIT_MULTI_PLATFORM=$arg with $platforms platforms: an index, $is", ({ arg, platforms, is }) => {
  const args = new Map(arg === undefined ? [] : [["BUILDKIT_MULTI_PLATFORM", arg]]);
  expect(isMultiPlatform(args, platforms)).toBe(is);
});

test.each(["yes", "tRUE", "2"])("BUILDKIT_MULTI_PLATFORM=%s is no boolean", (arg) => {
  expect(() => isMultiPlatform(new Map([["BUILDKIT_MULTI_PLATFORM", arg]]), 1)).toThrow(`is "${arg}"`);
});

test("BUILDKIT_MULTI_PLATFORM cannot refuse the index that several platforms need", () => {
  expect(() => isMultiPlatform(new Map([["BUILDKIT_MULTI_PLATFORM", "0"]]), 2)).toThrow("2 platforms");
});
