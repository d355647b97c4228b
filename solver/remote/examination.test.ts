import { expect, test } from "vitest";
import { BuildError } from "../../lib/core/errors.ts";
import { type Examination, readExamination } from "./examination.ts";

const given: Examination = {
  version: 1,
  kiln: "1.2.3",
  platform: "linux/amd64",
  kernel: "6.1",
  processors: 2,
  hasSharedStore: false,
  report: {
    isUsable: true,
    isolation: "root",
    without: ["hostname"],
    root: "/store",
    checks: [
      { name: "RUN", ok: true, detail: "in namespaces" },
      { name: "limits", ok: false, detail: "none", fix: "x" },
    ],
    causes: [{ cause: "seccomp", fixes: { docker: "--security-opt" } }],
  },
};

test("a worker's report is read as it was written", () => {
  expect(readExamination(JSON.stringify(given))).toEqual(given);
});

test.each([
  "",
  "[]",
  JSON.stringify({ ...given, version: 2 }),
  JSON.stringify({ ...given, report: { ...given.report, isolation: "all" } }),
  JSON.stringify({ ...given, report: { ...given.report, checks: [{ name: 1 }] } }),
  JSON.stringify({ ...given, processors: "2" }),
])("another one is refused: %s", (json) => {
  expect(() => readExamination(json)).toThrow(BuildError);
});
