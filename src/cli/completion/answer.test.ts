import { expect, test } from "vitest";
import type { CommandEntry, CommandTable } from "../command-table.ts";
import { answer } from "./answer.ts";
import { splitLine } from "./line.ts";

const entry = (name: string, words: string, flags: readonly string[] = []): CommandEntry => ({
  name,
  words,
  usage: "",
  text: `does ${name}`,
  examples: [],
  flags: flags.map((flag) => {
    const [names = "", value] = flag.split(" ");
    return { names: names.split("|"), isOptional: false, text: "", ...(value === undefined ? {} : { value }) };
  }),
});

const TABLE: CommandTable = {
  version: "1",
  kiln: entry("", "kiln", ["--root directory", "--help|-h"]),
  commands: [
    entry("build", "build", ["--target stage", "--tag|-t name", "--platform os/arch", "--no-cache", "--file|-f path"]),
    entry("run", "run", ["--env|-e name=value", "--interactive|-i"]),
    entry("tag", "tag"),
    entry("manifest-rm", "manifest rm"),
  ],
  groups: {
    image: { build: ["build"], tag: ["tag"] },
    manifest: { rm: ["manifest-rm"] },
    buildx: { build: ["build"] },
  },
};

const NAMES: Readonly<Record<string, readonly string[]>> = {
  stage: ["base", "final"],
  image: ["app", "localhost:5000/x:1"],
  variable: ["HOME"],
};

test.each([
  { line: "kiln ", wants: ["build", "run", "tag", "image", "manifest", "buildx"] },
  { line: "kiln ta", wants: ["tag"] },
  { line: "kiln image ", wants: ["build", "tag"] },
  { line: "kiln manifest ", wants: ["rm"] },
  { line: "kiln nothing ", wants: [] },
  { line: "kiln --root /x r", wants: ["run"] },
  { line: "kiln -", wants: ["--root", "--help", "-h"] },
  { line: "kiln build --no", wants: ["--no-cache"] },
  { line: "kiln build --ro", wants: ["--root"] },
  { line: "kiln build --target ", wants: ["base", "final"] },
  { line: "kiln build --target=f", wants: ["--target=final"] },
  { line: "kiln build -t a", wants: ["app"] },
  { line: "kiln build -t=local", wants: ["-t=localhost:5000/x:1"] },
  { line: "kiln image build --target b", wants: ["base"] },
  { line: "kiln buildx build --target b", wants: ["base"] },
  { line: "kiln build --platform linux/amd64,linux/arm6", wants: ["linux/amd64,linux/arm64"] },
  { line: "kiln build --platform linux/arm64,linux/arm6", wants: [] },
  { line: "kiln run 'app", wants: ["app"] },
  { line: "kiln run -ie HO", wants: ["HOME"] },
  { line: "kiln run app --env ", wants: [] },
  { line: "kiln tag app lo", wants: ["localhost:5000/x:1"] },
  { line: "kiln build --unknown=", wants: [] },
])("$line", ({ line, wants }) => {
  const { candidates } = answer(TABLE, splitLine(line), (kind) => NAMES[kind] ?? []);
  expect(candidates.map(({ word }) => word)).toEqual(wants);
});

test.each([
  { line: "kiln build ", paths: "folders" },
  { line: "kiln build -f ", paths: "files" },
  { line: "kiln run app ", paths: "files" },
  { line: "kiln --root ", paths: "folders" },
  { line: "kiln run ", paths: undefined },
])("$line: paths are $paths", ({ line, paths }) => {
  expect(answer(TABLE, splitLine(line), () => []).paths).toBe(paths);
});

test.each([
  { line: String.raw`a b\ c "d e" 'f`, words: ["a", "b c", "d e", "f"] },
  { line: "a  ", words: ["a", ""] },
  { line: `a ""`, words: ["a", ""] },
  { line: "", words: [""] },
  { line: "a\\", words: ["a\\"] },
])("$line is split", ({ line, words }) => {
  expect(splitLine(line)).toEqual(words);
});
