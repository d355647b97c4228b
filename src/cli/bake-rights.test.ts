import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { BuildError } from "../../lib/core/errors.ts";
import { SourceText } from "../../lib/core/span.ts";
import { evaluateDefinition } from "../bake/definition.ts";
import { parseHcl } from "../bake/hcl/parse.ts";
import { makePlan } from "../bake/resolve.ts";
import { requireRights } from "./bake-rights.ts";

interface Given {
  readonly allow?: readonly string[];
  readonly sets?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Bakes a target with these attributes in a directory with a folder `in` and a link `out` to its parent. */
function asked(attributes: string, { allow = [], sets = [], env = {} }: Given = {}): string {
  const workingDirectory = mkdtempSync(join(tmpdir(), "kiln-rights-"));
  onTestFinished(() => rmSync(workingDirectory, { recursive: true, force: true }));
  mkdirSync(join(workingDirectory, "in"));
  symlinkSync("..", join(workingDirectory, "out"));
  const host = { lookup: () => undefined, builtin: new Map(), nowMs: () => 0, uuid: () => "", homeDirectory: "/" };
  const text = `target "other" {}\ntarget "default" {\n${attributes}\n}\n`;
  const plan = makePlan(evaluateDefinition([parseHcl(new SourceText("x.hcl", text))], host), ["default"], sets);
  try {
    requireRights(plan.targets.values(), { allow, sets, workingDirectory, env });
    return "";
  } catch (error) {
    if (error instanceof BuildError && error.code === "bake/rights") return error.hint?.replace(/^.*, add /, "") ?? "";
    throw error;
  }
}

test.each([
  ["", ""],
  ['context = "in"\noutput = ["in/new", "type=tar,dest=-", "type=registry"]', ""],
  ['contexts = { a = "docker-image://alpine", b = "target:other", c = "https://example.com/x.git", d = "in" }', ""],
  ['context = "https://example.com/x.git#main:../x"', ""],
  ['network = "host"', "--allow network.host"],
  ['entitlements = ["security.insecure"]', "--allow security.insecure"],
  ['context = ".."', "--allow fs.read=.."],
  ['context = "out"', "--allow fs.read=out"],
  ['dockerfile = "/etc/passwd"', "--allow fs.read=/etc/passwd"],
  ['dockerfile = "in/../../x"', "--allow fs.read=./in/../../x"],
  ['contexts = { a = "/etc" }', "--allow fs.read=/etc"],
  ['contexts = { a = "oci-layout:///srv/x:tag" }', "--allow fs.read=/srv/x"],
  ['secret = ["id=a,src=/etc/shadow", "id=b,env=TOKEN"]', "--allow fs.read=/etc/shadow"],
  ['ssh = ["default"]', "--allow ssh"],
  ['ssh = ["default=/root/.ssh/id"]', "--allow fs.read=/root/.ssh/id"],
  ['cache-from = ["type=local,src=/srv/cache"]', "--allow fs.read=/srv/cache"],
  ['cache-to = ["type=local,dest=out/cache"]', "--allow fs.write=out/cache"],
  ['output = ["/usr/local"]', "--allow fs.write=/usr/local"],
  ['output = ["type=oci,dest=../x.tar"]', "--allow fs.write=../x.tar"],
  ['output = ["type=local,dest=in,mode=delete"]', "--allow buildx.local.delete"],
])("%s asks for %j", (attributes, flags) => {
  expect(asked(attributes)).toBe(flags);
});

test.each<[string, Given]>([
  ['network = "host"', { allow: ["network.host"] }],
  ['context = "/etc"', { allow: ["fs.read=/etc"] }],
  ['context = "/etc"', { allow: ["fs=*"] }],
  ['output = ["/etc/x/y"]', { allow: ["fs.write=/etc"] }],
  ["", { sets: ["*.output=/etc/x", "default.secrets=id=a,src=/etc/shadow"] }],
  ['context = "/etc"\nssh = ["default"]', { env: { BUILDX_BAKE_ENTITLEMENTS_FS: "0" } }],
])("%s is allowed by %j", (attributes, given) => {
  expect(asked(attributes, given)).toBe("");
});

test("a right to read is none to write, and a name's beginning is not the name", () => {
  expect(asked('output = ["/etc/x"]', { allow: ["fs.read=/etc"] })).toBe("--allow fs.write=/etc/x");
  expect(asked('context = "/etcetera"', { allow: ["fs.read=/etc"] })).not.toBe("");
  expect(asked('network = "host"', { env: { BUILDX_BAKE_ENTITLEMENTS_FS: "0" } })).toBe("--allow network.host");
});
