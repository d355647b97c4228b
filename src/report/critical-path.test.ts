import { expect, test } from "vitest";
import { criticalPath, type TimedWork } from "./critical-path.ts";

const step = (startMs: number, endMs: number, ...needs: number[]): TimedWork => ({
  startMs,
  endMs,
  needs,
  isApart: false,
});
const apart = (startMs: number, endMs: number): TimedWork => ({ startMs, endMs, needs: [], isApart: true });

test.each([
  { name: "nothing", work: [], path: [] },
  { name: "a chain", work: [step(0, 5), step(5, 9, 0), step(9, 10, 1)], path: [0, 1, 2] },
  {
    name: "the input that ended last, not the longest one",
    work: [step(0, 80), step(75, 95), step(96, 100, 0, 1)],
    path: [1, 2],
  },
  {
    name: "a step that only happened to end before is not waited for",
    work: [step(0, 10), step(0, 49), step(50, 60, 0)],
    path: [0, 2],
  },
  {
    name: "loading comes before the first step, the export after the last",
    work: [apart(0, 3), step(4, 20), step(4, 30), step(30, 40, 1, 2), apart(41, 50)],
    path: [0, 2, 3, 4],
  },
  {
    name: "work beside the steps that ended earlier is not on it",
    work: [apart(0, 1), apart(0, 3), step(4, 20), apart(5, 8)],
    path: [1, 2],
  },
  {
    name: "steps without times, and needs that lead in a circle or nowhere",
    work: [{ ...step(0, 0), startMs: undefined, endMs: undefined }, step(0, 5, 2, 0, 99), step(0, 4, 1)],
    path: [2, 1],
  },
])("$name", ({ work, path }) => {
  expect(criticalPath(work)).toEqual(path);
});
