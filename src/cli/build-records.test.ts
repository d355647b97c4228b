import { describe, expect, test } from "vitest";
import type { BuildReport } from "../engine/report.ts";
import { buildFilter } from "./build-filters.ts";
import {
  buildBefore,
  findListedBuild,
  formatDuration,
  type ListedBuild,
  listBuilds,
  nameOfBuild,
} from "./build-records.ts";
import { kilnWords } from "./spellings.ts";

const step = {
  name: "[1/1] RUN a",
  stage: "0",
  instruction: "RUN a",
  how: "ran",
  miss: undefined,
  why: undefined,
} as const;

function build(id: string, more: Partial<BuildReport> = {}, status: ListedBuild["status"] = "completed"): ListedBuild {
  const about = { version: 1, context: ".", target: undefined, tags: [], error: undefined, total: 1 } as const;
  return { report: { ...about, id, startedAtMs: 0, steps: [step], ...more }, status };
}

function record(durationMs: number, more: object = {}): Pick<BuildReport, "record"> {
  const versions = { kiln: "1", node: "v24" };
  return { record: { status: "completed", durationMs, options: {}, versions, work: [], directory: "/a", ...more } };
}

const all = [
  build("abc3", { tags: ["app:2"], startedAtMs: 9000, ...record(500) }),
  build("abd2", { tags: ["app"], startedAtMs: 5000, ...record(61_000, { commit: "f00d" }) }, "failed"),
  build("x1", { context: "/src/web", target: "web", startedAtMs: 1000 }, "interrupted"),
];

test.each([
  { word: "", id: "abc3" },
  { word: "^1", id: "abd2" },
  { word: "^", id: "abd2" },
  { word: "^0", id: "abc3" },
  { word: "abd2", id: "abd2" },
  { word: "kiln/kiln/abd2", id: "abd2" },
  { word: "x", id: "x1" },
  { word: "docker.io/library/app:latest", id: "abd2" },
])("a build is found by $word", ({ word, id }) => {
  expect(findListedBuild(all, word).report.id).toBe(id);
});

test.each(["^9", "ab", "nothing", "UPPER CASE"])("no build is found by %s, and the hint says why", (word) => {
  expect(() => findListedBuild(all, word)).toThrow(expect.objectContaining({ code: "cli/usage" }));
});

test.each([
  { filters: [], ids: ["abc3", "abd2", "x1"] },
  { filters: ["status=error"], ids: ["abd2"] },
  { filters: ["status=failed", "status=Completed"], ids: ["abc3", "abd2"] },
  { filters: ["status!=error", "status!=interrupted"], ids: ["abc3"] },
  { filters: ["duration>1m"], ids: ["abd2"] },
  { filters: ["duration<=1m"], ids: ["abc3"] },
  { filters: ["startedAt>1970-01-01T00:00:04Z", "status=completed"], ids: ["abc3"] },
  { filters: ["startedAt>7s"], ids: ["abc3", "abd2"] },
  { filters: ["name=app"], ids: ["abd2"] },
  { filters: ["commit=f0"], ids: ["abd2"] },
  { filters: ["target=web"], ids: ["x1"] },
])("filters $filters leave $ids", ({ filters, ids }) => {
  expect(all.filter(buildFilter(filters, 10_000)).map(({ report }) => report.id)).toEqual(ids);
});

test.each(["color=red", "status", "status>error", "duration=long", "startedAt>yesterday", "__proto__=x"])(
  "the filter %s is refused",
  (filter) => {
    expect(() => all.filter(buildFilter([filter], 0))).toThrow(expect.objectContaining({ code: "cli/usage" }));
  },
);

test("the build before is the last one of the same project", () => {
  const builds = [
    build("4", { ...record(1) }),
    build("3", { context: "elsewhere", ...record(1, { directory: "/b" }) }),
    build("2", { target: "x", ...record(1) }),
    build("1", { ...record(1) }),
  ];
  const [first] = builds;
  expect(first === undefined ? undefined : buildBefore(builds, first)?.report.id).toBe("1");
});

describe("a list of builds", () => {
  const report = (id: string, startedAtMs: number): object => ({ ...build(id, { startedAtMs }).report });
  const store = (
    ended: readonly unknown[],
    unfinished: readonly { id: string; state: "running" | "interrupted" }[],
  ) => ({
    builds: {
      list: () => ended,
      unfinished: () => unfinished.map((one) => ({ ...one, report: report(one.id, 50) })),
      begin: () => {},
      add: () => {},
      remove: () => {},
      forget: () => [],
    },
  });

  test("has running ones first, interrupted ones at their time, and each once", () => {
    const listed = listBuilds(
      store(
        [report("new", 90), report("done", 60), report("old", 10)],
        [
          { id: "done", state: "running" },
          { id: "dead", state: "interrupted" },
          { id: "now", state: "running" },
        ],
      ),
    );
    expect(listed.map(({ report: { id }, status }) => `${id} ${status}`)).toEqual([
      "now running",
      "new completed",
      "done completed",
      "dead interrupted",
      "old completed",
    ]);
  });

  test("leaves out what it cannot read, and reads what an older or newer kiln wrote", () => {
    const newer = { ...report("newer", 2), record: { status: "postponed", worlds: 2 }, more: true };
    const listed = listBuilds(store([{ version: 2, id: "next" }, "text", undefined, newer, report("older", 1)], []));
    expect(listed.map(({ report: { id } }) => id)).toEqual(["newer", "older"]);
  });
});

test("a build is named by its tag, its context and target, or what it was given", () => {
  const options = { buildArgs: ["A=1", "BUILDKIT_BUILD_NAME=nightly"] };
  expect([...all, build("n", record(1, { options }))].map(({ report }) => nameOfBuild(report))).toEqual([
    "app:2",
    "app",
    "web (web)",
    "nightly",
  ]);
});

test("durations are short", () => {
  expect([undefined, 0, 1234, 59_999, 61_000, 3_723_000].map(formatDuration)).toEqual([
    "",
    "0.0s",
    "1.2s",
    "60.0s",
    "1m 1s",
    "1h 2m 3s",
  ]);
});

test.each([
  { given: ["history", "builds", "ls"], words: ["builds-ls"] },
  { given: ["history", "builds"], words: ["history", "builds"] },
  { given: ["history", "app"], words: ["history", "app"] },
  { given: ["buildx", "history", "inspect", "^1"], words: ["builds-show", "^1"] },
  { given: ["--root", "/r", "builds", "rm", "--all"], words: ["--root", "/r", "builds-rm", "--all"] },
])("$given is $words", ({ given, words }) => {
  expect(kilnWords(given)).toEqual(words);
});
