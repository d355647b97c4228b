import { expect, test } from "vitest";
import { platformArgs, proxyEnvironment } from "./platform-args.ts";

test("platform args describe where the build runs and what for", () => {
  const args = platformArgs({
    build: { os: "linux", architecture: "amd64" },
    target: { os: "linux", architecture: "arm", variant: "v7", osVersion: "5.1" },
    targetStage: "app",
  });
  expect(Object.fromEntries(args)).toEqual({
    BUILDPLATFORM: "linux/amd64",
    BUILDOS: "linux",
    BUILDOSVERSION: "",
    BUILDARCH: "amd64",
    BUILDVARIANT: "",
    TARGETPLATFORM: "linux(5.1)/arm/v7",
    TARGETOS: "linux",
    TARGETOSVERSION: "5.1",
    TARGETARCH: "arm",
    TARGETVARIANT: "v7",
    TARGETSTAGE: "app",
  });
});

test("TARGETSTAGE of a stage without a name is default", () => {
  const platform = { os: "linux", architecture: "amd64" };
  expect(platformArgs({ build: platform, target: platform, targetStage: undefined }).get("TARGETSTAGE")).toBe(
    "default",
  );
});

test("proxy settings reach commands in both spellings, others do not", () => {
  const args = new Map([
    ["http_proxy", "http://p:1"],
    ["NO_PROXY", "localhost"],
    ["OTHER", "x"],
  ]);
  expect(proxyEnvironment(args)).toEqual([
    "HTTP_PROXY=http://p:1",
    "http_proxy=http://p:1",
    "NO_PROXY=localhost",
    "no_proxy=localhost",
  ]);
  expect(proxyEnvironment(new Map())).toEqual([]);
});
