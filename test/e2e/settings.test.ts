import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { kiln, missing, temporary } from "./harness.ts";

const why = missing();
if (why !== undefined) console.warn(`the tests of settings in whole builds are skipped: ${why}`);

describe.skipIf(why !== undefined)("settings", () => {
  test("a build obeys flags, then the environment, then files; a mistake in one is told before anything runs", () => {
    using folder = temporary();
    const cwd = join(folder.path, "project");
    mkdirSync(cwd);
    const dockerfile = ["one", "two", "three"].map((name) => `FROM scratch AS ${name}\nLABEL is=${name}\n`).join("");
    writeFileSync(join(cwd, "Dockerfile"), dockerfile);
    writeFileSync(join(cwd, "kiln.toml"), 'target = "one"\n');
    const env = { XDG_CONFIG_HOME: folder.path, KILN_CONFIG: "" };
    const label = (args: readonly string[], more: Readonly<Record<string, string>> = {}): string => {
      const store = join(folder.path, "store");
      const built = kiln(store, ["build", "-q", "-t", "x", ...args, "."], { cwd, env: { ...env, ...more } });
      const format = ["inspect", "--format", "{{.Config.Labels.is}}", "x"];
      return built.status === 0 ? kiln(store, format, { cwd, env }).stdout.trim() : `${built.status}`;
    };
    expect(label([])).toBe("one");
    expect(label([], { KILN_TARGET: "two" })).toBe("two");
    expect(label(["--target", "three"], { KILN_TARGET: "two" })).toBe("three");
    expect(label([], { KILN_CONFIG: "off" })).toBe("three");
    writeFileSync(join(cwd, "kiln.toml"), 'cache-from = ["type=registry,ref=evil.example/x"]\n');
    const { status, stderr } = kiln(join(folder.path, "store"), ["build", "."], { cwd, env });
    expect(stderr).toMatch(/A project's file may not set "cache-from"[^]*kiln\.toml:1:1\n/);
    expect(status).toBe(125);
    expect(kiln(join(folder.path, "store"), ["version"], { cwd, env }).status).toBe(0);
  });
});
