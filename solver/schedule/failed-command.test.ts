import { expect, test } from "vitest";
import { SourceText } from "../../lib/core/span.ts";
import { blamedLine, shortCommand } from "./failed-command.ts";

test.each([
  { argv: ["/bin/sh", "-c", "exit 7"], shown: "/bin/sh -c exit 7" },
  { argv: ["/bin/sh", "-c", "a\n  b\nc\n"], shown: "/bin/sh -c a b c" },
  { argv: ["/bin/sh", "-c", "x".repeat(200)], shown: `/bin/sh -c ${"x".repeat(66)}...` },
])("a command is shown in one short line: $shown", ({ argv, shown }) => {
  expect(shortCommand(argv)).toBe(shown);
});

const body = ["set -e", "echo a", "nosuch", "echo a", "echo b", "echo a"];
const text = `FROM x\nRUN <<E\n${body.join("\n")}\nE\n`;
const source = new SourceText("Dockerfile", text);
const span = source.span(text.indexOf("RUN"), text.length - 1);
const argv = ["/bin/sh", "-c", `${body.join("\n")}\n`];

test.each([
  { shell: "dash", tail: "a\n/bin/sh: 3: nosuch: not found\n", line: 5 },
  { shell: "bash", tail: "/bin/bash: line 3: nosuch: command not found", line: 5 },
  { shell: "the second of equal lines", tail: "sh: line 6: x: y", line: 8 },
  { shell: "busybox, by the command", tail: "/bin/sh: nosuch: not found", line: 5 },
  { shell: "one that blames no line of the script", tail: "/bin/sh: other: not found", line: undefined },
  { shell: "one that blames a command of several lines", tail: "/bin/sh: echo: write error", line: undefined },
  {
    shell: "another program that has the last word",
    tail: "/bin/sh: 3: nosuch: not found\ncc: failed",
    line: undefined,
  },
  { shell: "a line that is not there", tail: "sh: line 60: x: y", line: undefined },
])("finds the line that is blamed by $shell", ({ tail, line }) => {
  expect(blamedLine({ argv }, span, tail)?.start.line).toBe(line);
});

test("finds the line of a script that is run as a file", () => {
  const script = "FROM x\nRUN <<E\n#!/bin/bash\na\n\tnosuch\nE\n";
  const file = new SourceText("Dockerfile", script);
  const found = blamedLine(
    { argv: ["/bin/sh", "-c", "/dev/pipes/E"] },
    file.span(7, script.length - 1),
    "/dev/pipes/E: line 3: nosuch: command not found",
  );
  expect([found?.start.line, found?.start.column]).toEqual([5, 2]);
});

test("a command of one line is blamed as a whole", () => {
  const one = new SourceText("Dockerfile", "RUN a \\\n  && nosuch\n");
  const tail = "/bin/sh: 1: nosuch: not found";
  expect(blamedLine({ argv: ["/bin/sh", "-c", "a   && nosuch"] }, one.span(0, 18), tail)).toBeUndefined();
});
