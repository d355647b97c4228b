import { expect, test } from "vitest";
import { parseIgnoreFile } from "../../frontend/ignore/ignore-file.ts";
import { SourceNotFound } from "../../solver/select/not-found.ts";
import { BuildError } from "../../lib/core/errors.ts";
import { SourceText } from "../../lib/core/span.ts";
import { explainMissingSource } from "./missing-source.ts";

const { patterns } = parseIgnoreFile(new SourceText(".dockerignore", "# notes\n*.log\nsecret\n"));

/** Makes the error that the solver throws: at an instruction, with the first error as its cause. */
function missing(instruction: string, path: string, excludedBy?: number): BuildError {
  const cause = new SourceNotFound("missing", "there is nothing", { path, excludedBy, similar: [] });
  const source = new SourceText("Dockerfile", instruction);
  return new BuildError("solver/not-found", "missing", { span: source.span(0, instruction.length), hint: "x", cause });
}

test.each([
  {
    name: "an ignored file",
    error: missing("COPY secret /", "secret", 1),
    hint: '"secret" in .dockerignore:3 excludes it; add "!secret" below that line to keep it',
  },
  {
    name: "a path that leads out",
    error: missing("COPY ../shared /", "shared"),
    hint: expect.stringContaining('".." does not lead out of the build context'),
  },
  {
    name: "one that leads out behind a dot",
    error: missing("COPY a ./../shared /", "shared"),
    hint: expect.stringContaining("--build-context"),
  },
  { name: "a path that stays inside", error: missing("COPY a/../b /", "b"), hint: "x" },
  { name: "another error", error: new BuildError("solver/copy-failed", "m", { hint: "y" }), hint: "y" },
])("the hint for $name", ({ error, hint }) => {
  expect(explainMissingSource(error, patterns)).toMatchObject({ hint, message: error.message });
});

test("what is no error of ours stays as it is", () => {
  const error = new TypeError("x");
  expect(explainMissingSource(error, patterns)).toBe(error);
});
