import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterAll, beforeAll, expect, test } from "vitest";
import { testEnvironment } from "../../../test/support/environment.ts";
import { parseOutput } from "../../export/parse-output.ts";
import { checkOutputs } from "./check-outputs.ts";

let home = "";

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "kiln-outputs-"));
  await mkdir(join(home, "work/out"), { recursive: true });
  await mkdir(join(home, "other"));
});
afterAll(() => rm(home, { recursive: true, force: true }));

const check = (
  outputs: readonly Readonly<Record<string, string>>[],
  options: Parameters<typeof checkOutputs>[1] = {},
  stdout = new PassThrough(),
): void =>
  checkOutputs(
    outputs.map((attributes) => parseOutput(new Map(Object.entries(attributes)))),
    options,
    { ...testEnvironment(home), workingDirectory: join(home, "work"), stdout: () => stdout },
  );

test.each([
  { name: "a push without a name", output: { type: "registry" }, tags: [], says: "tag is needed when pushing" },
  {
    name: "a tag with a digest",
    output: { type: "image" },
    tags: [`a@sha256:${"0".repeat(64)}`],
    says: "has a digest",
  },
  {
    name: "a tag pushed by digest",
    output: { type: "image", push: "true", "push-by-digest": "true" },
    tags: ["localhost:5000/app:1"],
    says: "can't push tagged ref",
  },
  { name: "a file where a folder is", output: { type: "oci", dest: "out" }, tags: [], says: "it is a directory" },
])("$name is refused before the build", ({ output, tags, says }) => {
  expect(() => check([output], { tags })).toThrow(says);
});

test("a push by digest takes a name with a port and no tag", () => {
  const byDigest = [{ type: "image", push: "true", "push-by-digest": "true" }];
  expect(() => check(byDigest, { tags: ["localhost:5000/app"] })).not.toThrow();
});

test("two outputs do not fit into standard output", () => {
  expect(() => check([{ type: "tar" }, { type: "oci" }])).toThrow("two outputs");
});

test.each([{ type: "tar" }, { type: "oci" }, { type: "docker", dest: "-" }])(
  "%j does not write to a terminal",
  (output) => {
    const terminal = Object.assign(new PassThrough(), { isTTY: true });
    expect(() => check([output], {}, terminal)).toThrow("terminal");
    check([output]);
    check([{ type: "docker" }], {}, terminal);
  },
);

test.each([
  { dest: "out", isFine: true },
  { dest: "absent/deeper", isFine: true },
  { dest: ".", isFine: false },
  { dest: "..", isFine: false },
  { dest: "out/../../other", isFine: false },
  { dest: "../absent", isFine: true },
])("mode=delete in $dest below the working directory, or with --allow", ({ dest, isFine }) => {
  const outputs = [{ type: "local", dest, mode: "delete" }];
  if (isFine) check(outputs);
  else expect(() => check(outputs)).toThrow("mode=delete");
  check(outputs, { allow: ["buildx.local.delete"] });
});
