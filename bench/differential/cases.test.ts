import { expect, test } from "vitest";
import { parseCases } from "./cases.ts";

const read = (text: string) => parseCases("topic", text, "registry:5000");

test("a file of cases is a name, settings and a Dockerfile each", () => {
  const cases = read("About.\n\n=== one\n@arg A=1 2\n@arg B=\n@target t\nFROM scratch\n\n=== two\nFROM a\nRUN @b\n");
  expect(cases.map(({ name, dockerfile }) => [name, dockerfile])).toEqual([
    ["topic: one", "FROM scratch\n"],
    ["topic: two", "FROM a\nRUN @b\n"],
  ]);
  expect(cases[0]).toMatchObject({ args: ["A=1 2", "B="], target: "t", meant: undefined });
});

test.each([
  ["=== a\n@crlf\nA\nB\n", "A\r\nB\r\n"],
  ["=== a\n@no-newline\nA\nB\n", "A\nB"],
  ["=== a\n{{U+FEFF}}A\n", "\uFEFFA\n"],
  ["=== a\nA {{xy*3}}\n", "A xyxyxy\n"],
  ["=== a\nFROM {{registry}}/a ${A}\n", "FROM registry:5000/a ${A}\n"],
])("%j is the Dockerfile %j", (text, dockerfile) => {
  expect(read(text)[0]?.dockerfile).toBe(dockerfile);
});

test("an unknown setting is an error that names the case", () => {
  expect(() => read("=== a\n@typo 1\nFROM scratch\n")).toThrow("topic: a: there is no setting @typo 1");
});
