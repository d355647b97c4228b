import { expect, test } from "vitest";
import { digestOf } from "../core/digest.ts";
import { builtLayerId, layerId, originOf, snapshotId } from "./snapshot-id.ts";

test.each([
  { id: layerId(digestOf("a")), origin: "image" },
  { id: builtLayerId(digestOf("a")), origin: "tar" },
  { id: snapshotId("0c6d63ca-layer-built"), origin: "step" },
])("$id comes from: $origin", ({ id, origin }) => {
  expect(originOf(id)).toBe(origin);
});

test.each(["", "..", "a/b", "a\0"])("%j names no snapshot", (text) => {
  expect(() => snapshotId(text)).toThrow("cannot name a snapshot");
});
