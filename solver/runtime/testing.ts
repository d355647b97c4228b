/* Real roots made from busybox-static and a runtime for them, for the tests of this folder only. */
import { execFileSync } from "node:child_process";
import { existsSync, linkSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RunRequest, RunResult, Runtime } from "../ports.ts";
import type { RuntimeOptions } from "./driver.ts";
import { createRuntime } from "./driver.ts";

const BUSYBOX = "/bin/busybox";
/** `KILN_TEST_RUNTIME` names another build of it, such as the one with sanitizers. */
export const RUNTIME_PATH = process.env["KILN_TEST_RUNTIME"] ?? join(import.meta.dirname, "../../build/kiln-runtime");

/** Returns the reason why tests that run containers cannot run here, or `undefined`. */
export function cannotRun(): string | undefined {
  if (process.getuid?.() !== 0) return "needs root";
  if (!existsSync(BUSYBOX)) return "needs /bin/busybox (Debian package busybox-static)";
  if (!existsSync(RUNTIME_PATH)) return "needs build/kiln-runtime (npm run build)";
  return undefined;
}

/** Returns the error of a function. */
export function caught(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error("Nothing was thrown");
}

export interface Finished extends RunResult {
  readonly stdout: string;
  readonly stderr: string;
}

/** A base layer with busybox, /etc/passwd and /tmp; each step gets its own upper directory over it. */
export class Sandbox implements Disposable {
  readonly directory: string;
  readonly base: string;
  readonly notices: string[] = [];
  readonly runtime: Runtime & Disposable;
  #steps = 0;

  /** @param parent where all of it is, for tests of a file system. */
  constructor(options: Partial<RuntimeOptions> = {}, parent = tmpdir()) {
    this.directory = mkdtempSync(join(parent, "kiln-runtime-test-"));
    this.base = join(this.directory, "base");
    mkdirSync(join(this.base, "bin"), { recursive: true });
    copyFileSync(BUSYBOX, join(this.base, "bin/busybox"));
    for (const name of execFileSync(BUSYBOX, ["--list"], { encoding: "utf8" }).split("\n").filter(Boolean)) {
      if (name !== "busybox") linkSync(join(this.base, "bin/busybox"), join(this.base, "bin", name));
    }
    mkdirSync(join(this.base, "etc"));
    mkdirSync(join(this.base, "tmp"));
    writeFileSync(
      join(this.base, "etc/passwd"),
      "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n",
    );
    this.runtime = createRuntime({
      runtimePath: RUNTIME_PATH,
      scratchDirectory: join(this.directory, "scratch"),
      overlayMarks: "trusted",
      arch: process.arch,
      instance: `${process.pid}-test`,
      notice: (message) => this.notices.push(message),
      ...options,
    });
  }

  /** A fresh overlay over `lowers`; its upper directory is what the step changed. */
  overlay(lowers: readonly string[] = [this.base]): { upper: string; mount: RunRequest["root"] } {
    const directory = join(this.directory, `step-${this.#steps++}`);
    const upper = join(directory, "upper");
    const work = join(directory, "work");
    mkdirSync(upper, { recursive: true });
    mkdirSync(work);
    return { upper, mount: { kind: "overlay", upper, work, lowers } };
  }

  request(change: Partial<RunRequest>): RunRequest {
    return {
      root: this.overlay().mount,
      mounts: [],
      argv: ["/bin/true"],
      env: ["PATH=/bin"],
      cwd: "/",
      user: { uid: 0, gid: 0, supplementary: [], home: "/root" },
      hostname: "buildkitsandbox",
      network: "default",
      security: "sandbox",
      extraHosts: [],
      shmSizeBytes: undefined,
      ulimits: [],
      limits: {},
      cgroupParent: undefined,
      stdio: { kind: "pipes", onOutput: () => {} },
      ...change,
    };
  }

  /** Runs and collects the output. */
  async run(change: Partial<RunRequest>, signal: AbortSignal = new AbortController().signal): Promise<Finished> {
    const output = { stdout: "", stderr: "" };
    const stdio: RunRequest["stdio"] = {
      kind: "pipes",
      onOutput: (stream, chunk) => {
        output[stream] += Buffer.from(chunk).toString();
      },
    };
    const result = await this.runtime.run(this.request({ stdio, ...change }), signal);
    return { ...result, ...output };
  }

  /** Runs a shell script. */
  async sh(script: string, change: Partial<RunRequest> = {}): Promise<Finished> {
    return this.run({ argv: ["/bin/sh", "-c", script], ...change });
  }

  [Symbol.dispose](): void {
    this.runtime[Symbol.dispose]();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
