import { expect, test } from "vitest";
import { parseReport } from "./report-shape.ts";
import type { BuildReport } from "./report.ts";

const REPORT: BuildReport = {
  version: 1,
  id: "b1",
  startedAtMs: 1,
  context: ".",
  target: undefined,
  tags: ["app"],
  error: { code: "solver/exec-failed", message: "it failed" },
  total: 2,
  steps: [
    {
      name: "[1/2] RUN a",
      stage: "0",
      instruction: "RUN a",
      how: "ran",
      miss: {
        kind: "changed",
        changes: [
          { kind: "value", name: "ARG A", from: "1", to: undefined },
          { kind: "files", name: "files", files: [{ path: "a", what: ["content"] }], total: 1 },
          { kind: "source", name: "files", was: { kind: "git", state: "a" }, now: { kind: "git", state: "b" } },
        ],
      },
      why: "ARG A changed: RUN a",
      usage: { cpuMs: 1, peakMemoryBytes: 2 },
    },
    {
      name: "[2/2] RUN b",
      stage: undefined,
      instruction: "RUN b",
      how: "cached",
      miss: { kind: "pruned" },
      why: undefined,
    },
  ],
};

const kept = (report: unknown): unknown => JSON.parse(JSON.stringify(report));

test("a report comes back as it was kept", () => {
  expect(parseReport(kept(REPORT))).toEqual(kept(REPORT));
});

test.each([
  { name: "another version", report: { ...REPORT, version: 2 } },
  { name: "a beginning that is no date", report: { ...REPORT, startedAtMs: 1e300 } },
  { name: "a time of a step beyond all dates", report: { ...REPORT, steps: [{ ...REPORT.steps[0], endMs: 1e308 }] } },
  { name: "no steps", report: { ...REPORT, steps: undefined } },
  { name: "a step that ended in no known way", report: { ...REPORT, steps: [{ ...REPORT.steps[0], how: "lost" }] } },
  {
    name: "an unknown reason",
    report: { ...REPORT, steps: [{ ...REPORT.steps[0], miss: { kind: "mood" } }] },
  },
  { name: "nothing", report: null },
])("a report with $name counts as none", ({ report }) => {
  expect(parseReport(kept(report))).toBeUndefined();
});
