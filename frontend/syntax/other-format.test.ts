import { expect, test } from "vitest";
import { BuildError } from "../../lib/core/errors.ts";
import { SourceText } from "../../lib/core/span.ts";
import { parseDockerfile } from "../parse.ts";

function errorsOf(text: string): string[] {
  try {
    parseDockerfile(new SourceText("D", text));
    return [];
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    return [error, ...error.more].map(({ code, message }) => `${code} ${message}`);
  }
}

test.each([
  { is: "a compose file", text: "services:\n  web:\n    build: .\n    image: x\nvolumes:\n  data: {}\n" },
  { is: "a compose file", text: '# yaml\nversion: "3"\nservices:\n  a:\n    build: .\n' },
  { is: "a compose file", text: '{"services": {"a": {"build": "."}}}' },
  { is: "a bake file", text: 'variable "TAG" {\n  default = "x"\n}\ntarget "app" {\n  tags = ["a"]\n}\n' },
  { is: "a bake file", text: '{\n "target": {"a": {"context": "."}}\n}\n' },
  { is: "a JSON file", text: '{\n "name": "x",\n "version": "1"\n}\n' },
  { is: "a Kubernetes manifest", text: "apiVersion: v1\nkind: Pod\nmetadata:\n  name: x\n" },
  { is: "a YAML file", text: "---\nname: ci\njobs:\n  build:\n    runs-on: x\n" },
  { is: "an HTML page", text: "<!DOCTYPE html>\n<html>\n<pre>\nFROM a\n</pre>\n" },
  { is: "a script for /bin/sh", text: "#!/bin/sh\nset -e\nenv A=b make\n" },
  { is: "a script for python3", text: "#!/usr/bin/env python3\nimport os\n" },
  { is: "a Makefile", text: "CC = gcc\nall: a.o\n\t$(CC) -o all a.o\n" },
  { is: "an XML file", text: '<?xml version="1.0"?>\n<project/>\n' },
])("$is is refused in one sentence", ({ is, text }) => {
  expect(errorsOf(text)).toEqual([`dockerfile/other-format Cannot read "D" as a Dockerfile: it looks like ${is}`]);
});

test("a text without a single instruction is refused in one sentence", () => {
  expect(errorsOf("My project\n\nIt is a nice one.\nReally.\n\nSo\nthere\n")).toEqual([
    'dockerfile/other-format Cannot read "D" as a Dockerfile: none of its lines is an instruction',
  ]);
});

test.each([
  { name: "a mistyped word", text: "FORM a\nRUN b\n" },
  { name: "a stage whose here-document looks like something else", text: "FROM a\nRUN <<E\nall: b\n\tc\nE\nNO x\n" },
  { name: "a broken FROM", text: "FROM --nothing=x a\nservices:\n" },
  { name: "a script line above", text: "#!/usr/bin/env docker\nFROM a\nNO b\n" },
])("$name is still a Dockerfile with an error", ({ text }) => {
  expect(errorsOf(text).join("\n")).not.toContain("other-format");
  expect(errorsOf(text)).not.toEqual([]);
});
