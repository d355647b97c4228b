import { expect, test } from "vitest";
import { BUILDER_ARGS, uselessBuilderArgs } from "./builder-args.ts";

test.each([...BUILDER_ARGS])("%s works or is told about: %s", (name, what) => {
  const told = uselessBuilderArgs(new Map([[name, "1"]]));
  expect(told).toEqual(what === "works" ? [] : [`--build-arg ${name} has no effect: ${what}`]);
});

test("nothing is said of what is off, or of the Dockerfile's own arguments", () => {
  const given = { BUILDKIT_INLINE_CACHE: "0", BUILDKIT_MULTI_PLATFORM: "false", BUILDKIT_BUILD_NAME: "", VERSION: "1" };
  expect(uselessBuilderArgs(new Map(Object.entries(given)))).toEqual([]);
});
