import { expect, test } from "vitest";
import { formatPlatform, parsePlatform, platformOfNode, platformPreference, samePlatform } from "./platform.ts";

const host = { os: "linux", architecture: "amd64" };

test.each([
  { text: "linux/amd64", shown: "linux/amd64" },
  { text: "linux/x86_64", shown: "linux/amd64" },
  { text: "linux/amd64/v1", shown: "linux/amd64" },
  { text: "linux/amd64/v3", shown: "linux/amd64/v3" },
  { text: "linux/arm64/v8", shown: "linux/arm64" },
  { text: "linux/aarch64", shown: "linux/arm64" },
  { text: "linux/arm", shown: "linux/arm/v7" },
  { text: "linux/armhf", shown: "linux/arm/v7" },
  { text: "linux/armel", shown: "linux/arm/v6" },
  { text: "arm64", shown: "linux/arm64" },
  { text: "linux", shown: "linux/amd64" },
  { text: "Linux/AMD64", shown: "linux/amd64" },
  { text: "macos/arm64", shown: "darwin/arm64" },
  { text: "windows(10.0.17763)/amd64", shown: "windows(10.0.17763)/amd64" },
])("$text is $shown", ({ text, shown }) => {
  expect(formatPlatform(parsePlatform(text, host), "version")).toBe(shown);
});

test.each(["", "a/b/c/d", "linux/", "linux/am d64", "bogus", "linux(/amd64"])("%j is refused", (text) => {
  expect(() => parsePlatform(text, host)).toThrowError(/Cannot parse platform/);
});

test("older variants are taken when the wanted one is missing", () => {
  expect(platformPreference({ os: "linux", architecture: "arm", variant: "v7" }).map((p) => formatPlatform(p))).toEqual(
    ["linux/arm/v7", "linux/arm/v6", "linux/arm/v5"],
  );
  expect(
    platformPreference({ os: "linux", architecture: "amd64", variant: "v3" }).map((p) => formatPlatform(p)),
  ).toEqual(["linux/amd64/v3", "linux/amd64/v2", "linux/amd64"]);
});

test("the names Node uses are translated", () => {
  expect(platformOfNode("linux", "x64")).toEqual({ os: "linux", architecture: "amd64" });
  expect(samePlatform(platformOfNode("linux", "arm64"), { os: "linux", architecture: "aarch64" })).toBe(true);
});

test("a name that every object has is no architecture", () => {
  expect(() => parsePlatform("constructor", host)).toThrowError(/neither an operating system nor an architecture/);
  expect(formatPlatform(parsePlatform("linux/__proto__", host))).toBe("linux/__proto__");
});

test("a variant of many digits has no list of older ones", () => {
  expect(platformPreference({ os: "linux", architecture: "arm", variant: "v999999999" })).toHaveLength(1);
});
