import { expect, test } from "vitest";
import type { BuildError } from "../../lib/core/errors.ts";
import { SourceText } from "../../lib/core/span.ts";
import { detectSyntax, readDirectives } from "./directives.ts";

function read(text: string): { escape: string; syntax: unknown; check: unknown; errors: string[] } {
  const errors: BuildError[] = [];
  const { directives } = readDirectives(new SourceText("D", text), (error) => errors.push(error));
  const { escape, syntax, check } = directives;
  return { escape, syntax: syntax?.value, check: check?.value, errors: errors.map((error) => error.message) };
}

test.each([
  {
    name: "all three",
    text: "# syntax=a b\n#escape=`\n  # CHECK = skip=all \n",
    is: { syntax: "a b", escape: "`", check: "skip=all" },
  },
  { name: "Windows line ends", text: "# escape=`\r\n# check=error=true\r\n", is: { escape: "`", check: "error=true" } },
  { name: "a byte order mark", text: "\ufeff# escape=`\n", is: { escape: "`" } },
  { name: "no line end", text: "# escape=`", is: { escape: "`" } },
  { name: "nothing behind a blank line", text: "\n# escape=`\n", is: { escape: "\\" } },
  { name: "nothing behind a comment", text: "# hello\n# escape=`\n", is: { escape: "\\" } },
  { name: "nothing behind an unknown directive", text: "# foo=bar\n# escape=`\n", is: { escape: "\\" } },
  { name: "nothing behind an instruction", text: "FROM a\n# escape=`\n", is: { escape: "\\" } },
  { name: "no directive without a value", text: "# escape=\n# syntax=a\n", is: { escape: "\\", syntax: undefined } },
  { name: "check behind a #! line", text: "#!/bin/kiln\n# check=skip=all\n", is: { check: "skip=all", escape: "\\" } },
])("reads $name", ({ text, is }) => {
  expect(read(text)).toMatchObject({ ...is, errors: [] });
});

test.each([
  { text: "# escape=x\n", message: "invalid escape token 'x' does not match ` or \\" },
  { text: "# escape= \n", message: "invalid escape token ' ' does not match ` or \\" },
  { text: "# escape=`\n# escape=`\n", message: "only one escape parser directive can be used" },
  { text: "# syntax=a\n# SYNTAX=b\n", message: "only one syntax parser directive can be used" },
])("refuses $text", ({ text, message }) => {
  expect(read(text).errors).toEqual([message]);
});

test.each([
  { name: "a comment", text: "# syntax=docker/dockerfile:1 x\nFROM a\n" },
  { name: "a comment behind a #! line", text: "#!/usr/bin/env x\n# syntax = docker/dockerfile:1 x\n" },
  { name: "slashes", text: "// syntax=docker/dockerfile:1 x\n{}" },
  { name: "JSON", text: '{"syntax": "docker/dockerfile:1 x", "b": "c"}' },
  { name: "another directive first", text: "# escape=`\n# syntax=docker/dockerfile:1 x\n" },
])("finds the frontend in $name", ({ text }) => {
  expect(detectSyntax(new SourceText("D", text))).toMatchObject({
    ref: "docker/dockerfile:1",
    value: "docker/dockerfile:1 x",
  });
});

test.each([
  { name: "an ordinary file", text: "FROM a\n# syntax=b\n" },
  { name: "JSON of other things", text: '{"syntax": "a", "b": 1}' },
  { name: "an empty file", text: "" },
])("finds no frontend in $name", ({ text }) => {
  expect(detectSyntax(new SourceText("D", text))).toBeUndefined();
});
