import { expect, test } from "vitest";
import { digestOf } from "../core/digest.ts";
import { BuildError } from "../core/errors.ts";
import { type Index, MEDIA_TYPES } from "../core/oci.ts";
import { parsePlatform } from "../core/platform.ts";
import { selectPlatform } from "./select-platform.ts";

const host = { os: "linux", architecture: "amd64" };

function indexOf(...platforms: readonly (string | undefined)[]): Index {
  return {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociIndex,
    manifests: platforms.map((text) => {
      const [os = "", architecture = "", variant] = text?.split("/") ?? [];
      return {
        mediaType: MEDIA_TYPES.ociManifest,
        digest: digestOf(text ?? "none"),
        size: 1,
        ...(text === undefined
          ? {}
          : { platform: { os, architecture, ...(variant === undefined ? {} : { variant }) } }),
      };
    }),
  };
}

test.each([
  {
    name: "the platform itself",
    offered: ["linux/arm64", "linux/amd64"],
    wanted: "linux/amd64",
    chosen: "linux/amd64",
  },
  {
    name: "an older variant",
    offered: ["linux/arm/v5", "linux/arm/v6"],
    wanted: "linux/arm/v7",
    chosen: "linux/arm/v6",
  },
  {
    name: "a default variant written out",
    offered: ["linux/arm64/v8"],
    wanted: "linux/arm64",
    chosen: "linux/arm64/v8",
  },
  { name: "no attestation", offered: ["unknown/unknown", "linux/amd64"], wanted: "linux/amd64", chosen: "linux/amd64" },
  {
    name: "the only manifest of an index without platforms",
    offered: [undefined],
    wanted: "linux/amd64",
    chosen: "none",
  },
  {
    name: "the first of several without platforms",
    offered: [undefined, undefined],
    wanted: "linux/amd64",
    chosen: "none",
  },
  {
    name: "an entry with a platform before one without",
    offered: [undefined, "linux/amd64"],
    wanted: "linux/amd64",
    chosen: "linux/amd64",
  },
  { name: "an entry without an os", offered: ["/arm64", "/amd64"], wanted: "linux/amd64", chosen: "/amd64" },
  {
    name: "nothing without a machine",
    offered: ["linux/", "linux/amd64"],
    wanted: "linux/amd64",
    chosen: "linux/amd64",
  },
])("chooses $name", ({ offered, wanted, chosen }) => {
  expect(selectPlatform(indexOf(...offered), parsePlatform(wanted, host), "app").digest).toBe(digestOf(chosen));
});

test("a platform that is not offered is an error that names those that are", () => {
  const select = (): unknown => selectPlatform(indexOf("linux/arm64", "linux/s390x"), host, "app:1");
  expect(select).toThrow(BuildError);
  expect(select).toThrow('Cannot use "app:1" on linux/amd64');
});
