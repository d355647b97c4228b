import { expect, test } from "vitest";
import { mergeChecks, parseCheckConfig } from "./check-config.ts";

test.each([
  { text: "skip=A,B", config: { skip: new Set(["A", "B"]), experimental: new Set(), failOnWarning: false } },
  { text: "skip=all", config: { skip: "all", experimental: new Set(), failOnWarning: false } },
  { text: "error=true", config: { skip: new Set(), experimental: new Set(), failOnWarning: true } },
  {
    text: "skip=A;error=1;experimental=all",
    config: { skip: new Set(["A"]), experimental: "all", failOnWarning: true },
  },
  {
    text: " skip = A , B ; error = false ",
    config: { skip: new Set(["A", "B"]), experimental: new Set(), failOnWarning: false },
  },
  { text: "skip=ALL", config: { skip: new Set(["ALL"]), experimental: new Set(), failOnWarning: false } },
  { text: "", config: { skip: new Set(), experimental: new Set(), failOnWarning: false } },
])("reads check options $text", ({ text, config }) => {
  expect(parseCheckConfig(text, undefined)).toEqual(config);
});

test.each(["warn=A", "skip", "error=maybe", "SKIP=A", "skip=A;", ";", "skip=A;;error=true"])(
  "refuses check options %s",
  (text) => {
    expect(() => parseCheckConfig(text, undefined)).toThrow(/check options/);
  },
);

test("an instruction's own options add to the file's", () => {
  const file = parseCheckConfig("skip=A", undefined);
  expect(mergeChecks(file, parseCheckConfig("skip=B", undefined)).skip).toEqual(new Set(["A", "B"]));
  expect(mergeChecks(file, parseCheckConfig("skip=all", undefined)).skip).toBe("all");
});
