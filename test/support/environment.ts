import { spawnSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import type { BuildEnvironment } from "../../src/engine/environment.ts";
import { platformOfNode } from "../../lib/core/platform.ts";
import { locateNative } from "../../lib/native/locate.ts";

const ROOT = join(import.meta.dirname, "..", "..");

/** The reason why tests that run containers cannot run here; `undefined` when they can. */
export const cannotRun: string | undefined =
  process.getuid?.() === 0 ? undefined : "needs root, for overlay mounts and device files";

/**
 * Makes an environment around a store of the test's own, run from sources. Builds the compiled parts when they are
 * missing.
 */
export function testEnvironment(
  root: string,
  changes: Partial<Omit<BuildEnvironment, "stdin">> & { readonly input?: string | Uint8Array } = {},
): BuildEnvironment & { readonly output: PassThrough } {
  locateNative();
  const made = spawnSync("make", ["-s", "-C", join(ROOT, "solver/runtime/program"), "OUT=../../../build"], {
    encoding: "utf8",
  });
  if (made.status !== 0) throw new Error(`Cannot build the runtime:\n${made.stderr}`);
  const output = new PassThrough();
  const { input = "", ...others } = changes;
  return {
    root,
    addonPath: join(ROOT, "build/kiln.node"),
    runtimePath: join(ROOT, "build/kiln-runtime"),
    env: {},
    workingDirectory: root,
    homeDirectory: root,
    temporaryDirectory: tmpdir(),
    platform: platformOfNode(process.platform, process.arch),
    arch: process.arch,
    processors: 2,
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    pid: process.pid,
    nowMs: () => Date.now(),
    bootId: () => "this boot",
    stdin: () => Readable.from([Buffer.from(input)]),
    stdout: () => output,
    output,
    ...others,
  };
}
