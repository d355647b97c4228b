import { expect, test } from "vitest";
import { changedFiles } from "./changed-files.ts";

const line = (path: string, content: string): string => `${path}\tf\t0644\t0\t0\t1\t${content}\n`;

test("a file that became something else, and an owner", () => {
  expect(
    changedFiles(
      "a\tf\t0644\t0\t0\t1\tx\nb\tf\t0644\t0\t0\t1\tx\n",
      "a\tl\t0777\t0\t0\t0\tb\nb\tf\t0644\t5\t6\t1\tx\n",
    ),
  ).toEqual([
    { path: "a", what: ["file -> symlink"] },
    { path: "b", what: ["owner 0:0 -> 5:6"] },
  ]);
});

const many = Array.from({ length: 50 }, (_, n) => ({ path: `d/f${n}`, content: "x" }));

test.each<{ name: string; change: (files: typeof many) => typeof many; changes: readonly string[] }>([
  { name: "nothing", change: (files) => files, changes: [] },
  { name: "the first", change: ([, ...rest]) => rest, changes: ["d/f0 removed"] },
  { name: "the last", change: (files) => files.with(49, { path: "d/f49", content: "y" }), changes: ["d/f49 content"] },
  { name: "one within", change: (files) => files.with(7, { path: "d/f7", content: "y" }), changes: ["d/f7 content"] },
  {
    name: "a line that is the end of another",
    change: (files) => files.with(7, { path: "f7", content: "x" }),
    changes: ["f7 added", "d/f7 removed"],
  },
  {
    name: "two that are far from each other",
    change: (files) => files.with(2, { path: "d/f2", content: "y" }).toSpliced(40, 1),
    changes: ["d/f2 content", "d/f40 removed"],
  },
  { name: "one twice", change: (files) => [...files, { path: "d/g", content: "x" }], changes: ["d/g added"] },
  { name: "all", change: () => [], changes: many.map(({ path }) => `${path} removed`) },
])("changed: $name", ({ change, changes }) => {
  const text = (files: typeof many): string => files.map(({ path, content }) => line(path, content)).join("");
  const found = changedFiles(text(many), text(change(many)));
  expect(found.map(({ path, what }) => `${path} ${what.join(" ")}`)).toEqual(changes);
});
