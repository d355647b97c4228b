import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { BuildError } from "../../lib/core/errors.ts";
import { refusePolicies } from "./policy.ts";

let home = "";
beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), "kiln-policy-"));
  for (const path of ["with/Dockerfile.rego", "with/docker/app.rego", "without/Dockerfile", "here.rego"]) {
    mkdirSync(join(home, dirname(path)), { recursive: true });
    writeFileSync(join(home, path), "package docker\n");
  }
});
afterAll(() => rmSync(home, { recursive: true }));

function codeOf(context: string, dockerfile: string | undefined, directory: string, source = ""): string | undefined {
  try {
    refusePolicies({ context, dockerfile }, join(home, directory), {
      env: { EXPERIMENTAL_BUILDKIT_SOURCE_POLICY: source },
      workingDirectory: home,
    });
    return undefined;
  } catch (error) {
    return error instanceof BuildError ? error.code : "another error";
  }
}

test.each([
  { name: "beside the Dockerfile", context: "with", file: undefined, loaded: "with", code: "build/policy" },
  { name: "beside the file that -f names", context: "without", file: "here", loaded: "without", code: "build/policy" },
  { name: "beside another file of the context", context: "with", file: "without/x", loaded: "with", code: undefined },
  { name: "nowhere", context: "without", file: undefined, loaded: "without", code: undefined },
  { name: "in a repository", context: "https://x/y.git", file: "docker/app", loaded: "with", code: "build/policy" },
  { name: "behind a URL of its own", context: "with", file: "https://x/Dockerfile", loaded: "with", code: undefined },
  { name: "on standard input", context: "with", file: "-", loaded: "with", code: undefined },
])("a policy file $name: $code", ({ context, file, loaded, code }) => {
  expect(codeOf(context, file, loaded)).toBe(code);
});

test("a source policy in the environment is refused, an empty one is none", () => {
  expect(codeOf("without", undefined, "without", "policy.json")).toBe("build/policy");
  expect(codeOf("without", undefined, "without", "")).toBeUndefined();
});
