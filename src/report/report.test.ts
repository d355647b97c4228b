import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { reportDocument, scriptJson } from "./document.ts";
import { fileTree } from "./file-tree.ts";
import { readLogs } from "./kept-logs.ts";
import { ColouredText } from "./page/ansi.ts";
import { divide } from "./page/treemap.ts";

let home = "";
beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), "kiln-report-"));
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

test("any text survives in the script element, and none can end it", () => {
  fc.assert(
    fc.property(
      fc.anything({ values: [fc.string(), fc.constantFrom("</script>", "<!--", "]]>", "\u2028")] }),
      (value) => {
        const text = scriptJson({ value });
        expect(text).not.toMatch(/[<>&\u2028\u2029]/);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify({ value })));
      },
    ),
  );
});

test("the title is text, whatever the build is called, also with a replacement pattern in it", () => {
  const build = { name: `$& $1 </title><script>alert(1)</script>"`, id: "1" };
  const data = { build, steps: [], layers: [], before: undefined };
  const page = reportDocument("<title><!--title--></title><script><!--data--></script>", data);
  expect(page).toContain("<title>$&amp; $1 &lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt;&quot;: build 1</title>");
  expect(page.match(/<\/script/g)).toHaveLength(1);
  expect(() => reportDocument("<title></title>", data)).toThrow("template");
});

test("a log of 300 MB is cut in the middle, with a sentence; a missing one is left out", () => {
  const path = join(home, "large.log");
  const fd = openSync(path, "w");
  writeSync(fd, "first line\n");
  ftruncateSync(fd, 300_000_000);
  writeSync(fd, "\nlast line\n", 300_000_000 - 11);
  closeSync(fd);
  const log = readLogs(["large.log", "gone.log"], (name) => join(home, name)).get("large.log");
  expect(log?.text.startsWith("first line\n")).toBe(true);
  expect(log?.cut?.rest.endsWith("\nlast line\n")).toBe(true);
  expect(log?.cut?.note).toMatch(/^Here 300MB of 300MB are left out/);
  expect(JSON.stringify(log).length).toBeLessThan(1 << 20);
});

test("logs lose everything but colours, and together stay below a limit", () => {
  writeFileSync(join(home, "a.log"), "\u001b[31mred\u001b[0m \u001b]0;title\u0007\u202eflip\u001b[2J\n");
  writeFileSync(join(home, "b.log"), "x".repeat(300_000));
  const names = ["a.log", ...Array.from({ length: 40 }, (_, index) => `${index}`)];
  const logs = readLogs(names, (name) => join(home, name === "a.log" ? name : "b.log"));
  expect(logs.get("a.log")?.text).toBe("\u001b[31mred\u001b[0m flip\n");
  expect(
    [...logs.values()].reduce((sum, { text, cut }) => sum + text.length + (cut?.rest.length ?? 0), 0),
  ).toBeLessThan(5 << 20);
});

test("a tree of files joins lone directories and puts small files together", () => {
  const files = [
    { path: "usr/lib/a.so", bytes: 500 },
    { path: "usr/lib/b.so", bytes: 400 },
    ...Array.from({ length: 100 }, (_, index) => ({ path: `usr/lib/small/${index}`, bytes: 1 })),
  ];
  expect(fileTree(files, 50)).toEqual({
    name: "/usr/lib/",
    bytes: 1000,
    children: [
      { name: "a.so", bytes: 500 },
      { name: "b.so", bytes: 400 },
      { name: "small/", bytes: 100, children: [{ name: "100 smaller", bytes: 100 }] },
    ],
  });
});

test.each([
  { name: "plain text", line: "a <b> & c", pieces: [["a <b> & c", ""]] },
  {
    name: "colours and marks",
    line: "\u001b[1;31mbad\u001b[0m ok",
    pieces: [
      ["bad", "f1 bold"],
      [" ok", ""],
    ],
  },
  { name: "bright ones and backgrounds", line: "\u001b[92;44mx", pieces: [["x", "f10 b4"]] },
  {
    name: "the palette and true colour",
    line: "\u001b[38;5;196mx\u001b[38;2;0;170;0my",
    pieces: [
      ["x", "f1"],
      ["y", "f2"],
    ],
  },
  {
    name: "numbers beyond the palette",
    line: "\u001b[38;5;999mx\u001b[1337my",
    pieces: [
      ["x", ""],
      ["y", ""],
    ],
  },
  { name: "an overwritten line", line: "10%\r50%\rdone\r", pieces: [["done", ""]] },
  { name: "a colour of what was overwritten", line: "\u001b[32m10%\rdone", pieces: [["done", "f2"]] },
])("a log's line: $name", ({ line, pieces }) => {
  const found = new ColouredText().line(line).map(({ text, classes }) => [text, classes.join(" ")]);
  expect(found).toEqual(pieces);
});

test("classes of a log's text are of a fixed set, whatever the sequences say", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(2000), { maxLength: 12 }), (codes) => {
      for (const { classes } of new ColouredText().line(`\u001b[${codes.join(";")}mx`)) {
        for (const name of classes)
          expect(name).toMatch(/^(?:[fb](?:\d|1[0-5])|bold|dim|italic|underline|strike|inverse)$/);
      }
    }),
  );
});

test("a rectangle is divided by size, without gaps, overlaps or ends outside", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 1e9 }), { minLength: 1, maxLength: 60 }), (numbers) => {
      const sizes = numbers.toSorted((a, b) => b - a);
      const total = sizes.reduce((sum, one) => sum + one, 0);
      const areas = divide(sizes, { x: 0, y: 0, width: 300, height: 200 });
      for (const [index, { x, y, width, height }] of areas.entries()) {
        expect(width * height).toBeCloseTo((60_000 * (sizes[index] ?? 0)) / total, 3);
        expect(Math.min(x, y)).toBeGreaterThanOrEqual(-1e-3);
        expect(x + width).toBeLessThanOrEqual(300 + 1e-3);
        expect(y + height).toBeLessThanOrEqual(200 + 1e-3);
      }
    }),
  );
});
