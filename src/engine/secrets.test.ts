import { execFileSync } from "node:child_process";
import { createWriteStream, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { BuildEnvironment } from "./environment.ts";
import { Scratch } from "./scratch.ts";
import { secretSource, sshSource } from "./secrets.ts";

const signal = new AbortController().signal;
let directory: string;
let environment: BuildEnvironment;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "secrets-"));
  execFileSync("mkfifo", [join(directory, "pipe")]);
  environment = { workingDirectory: directory, env: {} } as Partial<BuildEnvironment> as BuildEnvironment;
});

afterAll(() => rmSync(directory, { recursive: true }));

test("a pipe's secret is there for each step that asks", async () => {
  const secrets = secretSource([{ id: "s", from: "file", path: "pipe" }], environment);
  const asked = secrets.get("s", signal);
  createWriteStream(join(directory, "pipe")).end("only once");
  expect(String(await asked)).toBe("only once");
  expect(String(await secrets.get("s", signal))).toBe("only once");
});

test("a secret without an end is too long", async () => {
  const secrets = secretSource([{ id: "s", from: "file", path: "/dev/full" }], environment);
  await expect(secrets.get("s", signal)).rejects.toThrow("secrets are at most 500 KiB");
});

test("a pipe's key is read once, at the start", async () => {
  await using scratch = new Scratch(join(directory, "scratch"));
  const agents = sshSource([{ id: "default", paths: ["pipe"] }], environment, scratch);
  const checked = agents.check(signal);
  createWriteStream(join(directory, "pipe")).end("no key");
  const why = /Cannot use the ssh key .*pipe: (?!it has)/;
  await expect(checked).rejects.toThrow(why);
  await expect(agents.socket("default", signal)).rejects.toThrow(why);
});

test("a key without an end is none", async () => {
  await using scratch = new Scratch(join(directory, "scratch"));
  const agents = sshSource([{ id: "default", paths: ["/dev/full"] }], environment, scratch);
  await expect(agents.check(signal)).rejects.toThrow("Cannot use the ssh key /dev/full: it has more than 1 MiB");
});
