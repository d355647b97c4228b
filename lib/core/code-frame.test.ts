import { expect, test } from "vitest";
import { renderError } from "./code-frame.ts";
import { BuildError } from "./errors.ts";
import { SourceText } from "./span.ts";

const source = new SourceText("Dockerfile", "FROM scratch\nCOPY app.js\n\tRUN a \\\n  && b \\\n\n  && c\n");

function at(start: string, end: string): ReturnType<SourceText["span"]> {
  return source.span(source.text.indexOf(start), source.text.indexOf(end) + end.length);
}

test("points at one line", () => {
  const error = new BuildError("dockerfile/syntax", "COPY needs a destination", {
    span: at("COPY", "app.js"),
    hint: "write COPY <source>... <destination>",
  });
  expect(renderError(error)).toMatchInlineSnapshot(`
    "error[dockerfile/syntax]: COPY needs a destination
      --> Dockerfile:2:1
      2 | COPY app.js
        | ^^^^^^^^^^^
      hint: write COPY <source>... <destination>"
  `);
});

test("keeps a tab before the mark", () => {
  expect(renderError(new BuildError("dockerfile/syntax", "no", { span: at("RUN a", "RUN a"), hint: "h" }))).toContain(
    "    | \t^^^^^\n",
  );
});

test("marks every line of a span of several lines, and not the blank ones", () => {
  const rendered = renderError(new BuildError("dockerfile/syntax", "no", { span: at("RUN", "&& c") }));
  expect(rendered).toMatchInlineSnapshot(`
    "error[dockerfile/syntax]: no
      --> Dockerfile:3:2
      3 | 	RUN a \\
        | 	^^^^^^^
      4 |   && b \\
        |   ^^^^^^
      5 |
      6 |   && c
        |   ^^^^"
  `);
});

test("shows the first and last lines of a long span", () => {
  const long = new SourceText("D", Array.from({ length: 20 }, (_, index) => `line ${String(index + 1)}`).join("\n"));
  const error = new BuildError("dockerfile/syntax", "no", { span: long.span(0, long.text.length) });
  expect(
    renderError(error)
      .split("\n")
      .filter((line) => !line.includes("^")),
  ).toEqual([
    "error[dockerfile/syntax]: no",
    "  --> D:1:1",
    "    1 | line 1",
    "    2 | line 2",
    "    3 | line 3",
    "    4 | line 4",
    "    5 | line 5",
    "  ... |",
    "   16 | line 16",
    "   17 | line 17",
    "   18 | line 18",
    "   19 | line 19",
    "   20 | line 20",
  ]);
});

test("marks an empty span with one character", () => {
  const end = source.text.length;
  expect(renderError(new BuildError("dockerfile/empty", "no", { span: source.span(end, end) }))).toContain("^");
});

test("cuts a line of 64 KiB around the mark", () => {
  const long = new SourceText("D", `${"x".repeat(50_000)}HERE${"y".repeat(10_000)}`);
  const rendered = renderError(new BuildError("dockerfile/syntax", "no", { span: long.span(50_000, 50_004) }));
  expect(rendered.length).toBeLessThan(500);
  const [, , text = "", mark = ""] = rendered.split("\n");
  expect(text.slice(mark.indexOf("^"), mark.indexOf("^") + 4)).toBe("HERE");
});

test.each([
  { columns: 40, from: 0, first: `  1 | ${"a".repeat(28)}...`, mark: 28 },
  { columns: 80, from: 50, first: `  1 | ...${"a".repeat(68)}...`, mark: 51 },
  { columns: 5, from: 0, first: `  1 | ${"a".repeat(20)}...`, mark: 20 },
  { columns: 200, from: 0, first: `  1 | ${"a".repeat(120)}`, mark: 120 },
])("cuts source lines and marks to a window of $columns columns", ({ columns, from, first, mark }) => {
  const text = new SourceText("D", "a".repeat(120));
  const error = new BuildError("dockerfile/syntax", "no", { span: text.span(from, 120) });
  const [, , line, marks = ""] = renderError(error, { columns }).split("\n");
  expect(line).toBe(first);
  expect(marks.match(/\^/g)).toHaveLength(mark);
  expect(marks.length).toBeLessThanOrEqual(Math.max(columns, 29));
});

test("prints no control characters of the file", () => {
  const evil = new SourceText("D", "RUN \u001b[31mred\r");
  expect(renderError(new BuildError("dockerfile/syntax", "no", { span: evil.span(0, 12) }))).not.toContain("\u001b");
});

test("covers a password in a URL of the line, and marks the right columns", () => {
  const line = "ADD https://me:secret@host/x /y";
  const text = new SourceText("D", `FROM scratch\n${line}\n`);
  const rendered = renderError(new BuildError("source/http", "no", { span: text.span(17, 41) })).split("\n");
  expect(rendered.slice(2)).toEqual(["  2 | ADD https://me:******@host/x /y", `    |     ${"^".repeat(24)}`]);
});

test("prints the other errors of the pass below", () => {
  const more = [new BuildError("dockerfile/from", "second")];
  expect(renderError(new BuildError("dockerfile/syntax", "first", { detail: "a log\n", more }))).toBe(
    "error[dockerfile/syntax]: first\n  a log\n\nerror[dockerfile/from]: second",
  );
});

test("a message cannot move the cursor, and a file full of errors does not fill the terminal", () => {
  const other = new BuildError("dockerfile/syntax", "another");
  const error = new BuildError("dockerfile/syntax", "unknown instruction: \u001b[2J\u0007", {
    more: Array.from({ length: 100 }, () => other),
  });
  const text = renderError(error);
  expect(text.split("\n")[0]).toBe("error[dockerfile/syntax]: unknown instruction: \ufffd[2J\ufffd");
  expect(text.endsWith("\n\nand 71 more errors")).toBe(true);
});

test("what others wrote does nothing to a terminal; a command's own colours stay where colours are wanted", () => {
  const error = new BuildError("solver/exec-failed", "Cannot run \u001b[2J", {
    hint: "try \u001b[1A",
    detail: "\u001b[31mred\u001b[0m\u001b[2A\n",
  });
  expect(renderError(error)).toBe("error[solver/exec-failed]: Cannot run \ufffd[2J\n  red\n  hint: try \ufffd[1A");
  const same = (text: string): string => text;
  const style = { error: same, bold: same, dim: same, hint: same };
  expect(renderError(error, { style })).toContain("\n  \u001b[31mred\u001b[0m\n");
});
