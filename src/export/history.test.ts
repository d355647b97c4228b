import fc from "fast-check";
import { expect, test } from "vitest";
import type { HistoryEntry, ImageConfig } from "../../lib/core/oci.ts";
import { clampTimes, completeHistory, formatTime } from "./history.ts";

const base: HistoryEntry = { created: "2020-01-01T00:00:00Z", created_by: "base" };
const entry = (by: string, empty = false): HistoryEntry => ({
  created_by: by,
  ...(empty ? { empty_layer: true } : {}),
});
const layers = (...created: string[]): { readonly created: string; readonly description: string }[] =>
  created.map((time) => ({ created: time, description: "layer" }));

test.each([
  {
    name: "a layer has its own time",
    drafts: [base, entry("RUN")],
    layers: layers("2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"),
    want: ["2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"],
  },
  {
    name: "metadata before the first new layer has that layer's time",
    drafts: [base, entry("ENV", true), entry("RUN")],
    layers: layers("2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"),
    want: ["2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z", "2021-01-01T00:00:00Z"],
  },
  {
    name: "metadata between layers has the earlier layer's time",
    drafts: [entry("ENV", true), entry("RUN a"), entry("LABEL", true), entry("RUN b"), entry("CMD", true)],
    layers: layers("2021-01-01T00:00:00Z", "2022-01-01T00:00:00Z"),
    want: [2021, 2021, 2021, 2022, 2022].map((year) => `${year}-01-01T00:00:00Z`),
  },
  {
    name: "metadata alone has the base image's last time",
    drafts: [base, entry("ENV", true)],
    layers: layers("2020-01-01T00:00:00Z"),
    want: ["2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z"],
  },
  { name: "metadata on scratch has none", drafts: [entry("ENV", true)], layers: [], want: [undefined] },
])("$name", ({ drafts, layers: facts, want }) => {
  expect(completeHistory(drafts, facts).map((one) => one.created)).toEqual(want);
});

test("layers that no entry accounts for get one, and entries without a layer become empty", () => {
  expect(completeHistory([entry("RUN")], layers("2021-01-01T00:00:00Z", "2022-01-01T00:00:00Z"))[1]).toEqual({
    created: "2022-01-01T00:00:00Z",
    created_by: "layer",
    comment: "buildkit.exporter.image.v0",
  });
  expect(completeHistory([entry("RUN")], [])).toEqual([{ created_by: "RUN", empty_layer: true }]);
});

test("a source date clamps what is new and leaves the base image's entries alone", () => {
  const config: ImageConfig = {
    architecture: "amd64",
    os: "linux",
    created: "2030-01-01T00:00:00Z",
    config: {},
    rootfs: { type: "layers", diff_ids: [] },
    history: [
      { created: "2029-01-01T00:00:00Z" },
      { created: "2030-01-01T00:00:00Z" },
      { created: "1999-01-01T00:00:00Z" },
    ],
    other: {},
  };
  const clamped = clampTimes(config, 1, 1_000_000_000);
  expect(clamped.created).toBe("2001-09-09T01:46:40Z");
  expect(clamped.history.map((one) => one.created)).toEqual([
    "2029-01-01T00:00:00Z",
    "2001-09-09T01:46:40Z",
    "1999-01-01T00:00:00Z",
  ]);
});

test.each([
  { ms: 0, text: "1970-01-01T00:00:00Z" },
  { ms: 1_700_000_000_120, text: "2023-11-14T22:13:20.12Z" },
  { ms: 1_700_000_000_001, text: "2023-11-14T22:13:20.001Z" },
])("$ms ms is $text", ({ ms, text }) => {
  expect(formatTime(ms)).toBe(text);
});

test("times are those of Date, from year 0 to 9999", () => {
  const [min, max] = [Date.parse("0000-01-01T00:00:00Z"), Date.parse("9999-12-31T23:59:59.999Z")];
  fc.assert(
    fc.property(fc.integer({ min, max }), (ms) => {
      expect(formatTime(ms)).toBe(new Date(ms).toISOString().replace(/\.?0*Z$/, "Z"));
    }),
    { numRuns: 5000 },
  );
});
