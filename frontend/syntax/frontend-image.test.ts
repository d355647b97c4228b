import { expect, test } from "vitest";
import { BuildError } from "../../lib/core/errors.ts";
import { SourceText } from "../../lib/core/span.ts";
import { requireBuiltInFrontend } from "./frontend-image.ts";

const require = (text: string, override?: string): void =>
  requireBuiltInFrontend(new SourceText("Dockerfile", text), override);

test.each([
  { name: "no directive", text: "FROM a\n" },
  { name: "Docker's, by tag", text: "# syntax=docker/dockerfile:1.7-labs\nFROM a\n" },
  { name: "Docker's, in full and by digest", text: `# syntax=docker.io/docker/dockerfile@sha256:${"a".repeat(64)}\n` },
  { name: "Docker's next one", text: "# syntax=docker/dockerfile-upstream:master\nFROM a\n" },
  { name: "Docker's with arguments", text: "# syntax=docker/dockerfile:1 --x\nFROM a\n" },
  { name: "a comment further down", text: "FROM a\n# syntax=other/frontend\n" },
  { name: "another one, overridden", text: "# syntax=other/frontend\nFROM a\n", override: "docker/dockerfile:1" },
  { name: "an empty override", text: "FROM a\n", override: "" },
])("accepts $name", ({ text, override }) => {
  expect(() => require(text, override)).not.toThrow();
});

test.each([
  { name: "another image", text: "# syntax=example.com/my/frontend:2\nFROM a\n", ref: "example.com/my/frontend:2" },
  { name: "a namesake", text: "# syntax=dockerfile\nFROM a\n", ref: "dockerfile" },
  { name: "no image at all", text: "# syntax=UPPER CASE\nFROM a\n", ref: "UPPER" },
  { name: "one behind #!", text: "#!/usr/bin/x\n# syntax=other/one\nFROM a\n", ref: "other/one" },
  { name: "one of another comment style", text: "// syntax=other/one\n", ref: "other/one" },
  { name: "one in JSON", text: '{"syntax": "other/one"}', ref: "other/one" },
  { name: "an override", text: "FROM a\n", override: "other/two x=y", ref: "other/two" },
])("refuses $name", ({ text, override, ref }) => {
  let caught: unknown;
  try {
    require(text, override);
  } catch (error) {
    caught = error;
  }
  expect(caught).toBeInstanceOf(BuildError);
  expect(caught).toMatchObject({ code: "dockerfile/frontend", message: expect.stringContaining(`"${ref}"`) });
});
