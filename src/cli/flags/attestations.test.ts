import { expect, test } from "vitest";
import { attestations } from "./attestations.ts";

const min = { mode: "min", version: "v1", builderId: "", reproducible: false, inlineOnly: false };

test.each([
  { name: "nothing", flags: {}, wants: undefined },
  { name: "--provenance=true", flags: { provenance: "true" }, wants: min },
  { name: "--provenance=false", flags: { provenance: "false" }, wants: undefined },
  { name: "--provenance=mode=max", flags: { provenance: "mode=max" }, wants: { ...min, mode: "max" } },
  { name: "--provenance=mode=disabled", flags: { provenance: "mode=disabled" }, wants: undefined },
  { name: "--attest type=provenance", flags: { attest: ["type=provenance"] }, wants: { ...min, mode: "max" } },
  {
    name: "--attest with all there is",
    flags: {
      attest: ["type=provenance,mode=min,version=v0.2,builder-id=https://ci/1,reproducible=1,inline-only=true"],
    },
    wants: { mode: "min", version: "v0.2", builderId: "https://ci/1", reproducible: true, inlineOnly: true },
  },
  {
    name: "the short form after the long one",
    flags: { attest: ["type=provenance,mode=max"], provenance: "false" },
    wants: undefined,
  },
])("$name", ({ flags, wants }) => {
  expect(attestations(flags).provenance).toEqual(wants);
});

test.each([
  { name: "a type", flags: { attest: ["type=vex"] }, says: 'unknown attestation type "vex"' },
  { name: "a style", flags: { attestStyle: "tags" }, says: "there is no such style" },
  { name: "no type", flags: { attest: ["mode=max"] }, says: "it has no type" },
  { name: "a mode", flags: { provenance: "mode=most" }, says: 'invalid mode "most"' },
  { name: "a version", flags: { provenance: "version=v2" }, says: 'invalid version "v2"' },
  { name: "an attribute", flags: { provenance: "generator=x" }, says: 'no attribute "generator"' },
])("$name that does not exist is refused", ({ flags, says }) => {
  expect(() => attestations(flags)).toThrow(says);
});

test.each([
  { name: "--sbom=true", flags: { sbom: "true" }, wants: true },
  { name: "--attest type=sbom", flags: { attest: ["type=sbom"] }, wants: true },
  { name: "the short form turned off", flags: { attest: ["type=sbom"], sbom: "false" }, wants: false },
  { name: "disabled", flags: { attest: ["type=sbom,disabled=true"] }, wants: false },
  { name: "nothing", flags: {}, wants: false },
])("$name: an SBOM is wanted: $wants", ({ flags, wants }) => {
  expect(attestations(flags).sbom).toBe(wants);
});
