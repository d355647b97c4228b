import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { findNetworkHelper } from "./network-helper.ts";

const home = mkdtempSync(join(tmpdir(), "kiln-network-"));
afterAll(() => rmSync(home, { recursive: true, force: true }));

function directoryWith(...programs: readonly string[]): string {
  const directory = mkdtempSync(join(home, "bin-"));
  for (const program of programs) {
    writeFileSync(join(directory, program), "");
    chmodSync(join(directory, program), 0o755);
  }
  return directory;
}

test.each([
  { name: "pasta where both are", programs: ["pasta", "slirp4netns"], found: "pasta" },
  { name: "slirp4netns where it is alone", programs: ["slirp4netns"], found: "slirp4netns" },
])("takes $name", ({ programs, found }) => {
  const directory = directoryWith(...programs);
  const helper = findNetworkHelper({ searchPath: ["/nowhere", directory], isHostRoot: false });
  expect(helper.name).toBe(found);
  expect(helper.argv[0]).toBe(join(directory, found));
  expect(helper.argv).not.toContain("--runas");
});

test("tells pasta to stay root where root is the machine's", () => {
  const helper = findNetworkHelper({ searchPath: [directoryWith("pasta")], isHostRoot: true });
  expect(helper.argv.slice(1, 3)).toEqual(["--runas", "0"]);
});

test("says which package is missing", () => {
  expect(() => findNetworkHelper({ searchPath: [directoryWith()], isHostRoot: true })).toThrow(
    expect.objectContaining({ code: "runtime/failed", hint: expect.stringContaining("apt-get install passt") }),
  );
});
