import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { busyboxRoot, mustKiln, type Outcome, PROJECT } from "../e2e/harness.ts";

/** A `bin/kiln` that runs beside the test. */
export interface RunningKiln {
  readonly child: ChildProcess;
  /** Outcome of the process; after a signal the status is -1. */
  readonly ended: Promise<Outcome>;
  /** Resolves once `text` appears on standard error; rejects when the process ends without it. */
  said(text: string): Promise<void>;
}

export function startKiln(root: string, args: readonly string[]): RunningKiln {
  const child = spawn(join(PROJECT, "bin/kiln"), ["--root", root, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const output = { stdout: "", stderr: "" };
  const listeners = new Set<() => void>();
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => {
      output[name] += text;
      for (const look of listeners) look();
    });
  }
  const ended = new Promise<Outcome>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status) => resolve({ status: status ?? -1, ...output }));
  });
  return {
    child,
    ended,
    said: (text) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (!output.stderr.includes(text)) return;
          listeners.delete(look);
          resolve();
        };
        listeners.add(look);
        look();
        void ended.then(() => reject(new Error(`kiln never said ${JSON.stringify(text)}:\n${output.stderr}`)), reject);
      }),
  };
}

/** Makes `busybox` in a store that may not exist yet. */
export function importBusybox(root: string, scratch: string): void {
  mkdirSync(scratch, { recursive: true });
  mustKiln(root, ["import", busyboxRoot(scratch), "busybox"]);
}

/** Writes a context from file contents by path. */
export function writeContext(directory: string, files: Readonly<Record<string, string>>): string {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), text);
  }
  return directory;
}

/**
 * Lists the lines that steps wrote to `runs` in the only cache mount of a store: one line per execution, whatever
 * became of its result.
 */
export function executions(root: string): readonly string[] {
  const mounts = join(root, "cache-mounts");
  return readdirSync(mounts)
    .flatMap((name) => readFileSync(join(mounts, name, "data/runs"), "utf8").split("\n"))
    .filter((line) => line !== "")
    .toSorted();
}

/** Makes the file `/runs/go`, for which a counted step may wait. */
export function letGo(root: string): void {
  const mounts = join(root, "cache-mounts");
  for (const name of readdirSync(mounts)) writeFileSync(join(mounts, name, "data/go"), "");
}

/** Makes a RUN line that records its execution under a name, then does `work`. */
export function counted(name: string, work: string): string {
  return `RUN --mount=type=cache,id=runs,target=/runs echo ${name} >> /runs/runs && ${work}`;
}
