import { readFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { errnoOf } from "../../lib/core/errors.ts";
import { findHome } from "./home.ts";
import type { Host } from "./host.ts";

/**
 * Makes the host of the real process. Called once per run, never at load time: a startup snapshot must not remember any
 * of it.
 */
export function nodeHost(parts: { readonly directory: string; readonly bundled: boolean }): Host {
  return {
    env: process.env,
    workingDirectory: workingDirectory(),
    partsDirectory: parts.directory,
    bundled: parts.bundled,
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    pid: process.pid,
    homeDirectory: findHome(process.env, process.getuid?.() ?? 0) ?? "/",
    temporaryDirectory: tmpdir(),
    platform: process.platform,
    arch: process.arch,
    processors: availableParallelism(),
    // Getters: opening standard input has effects of its own, and most commands never read it.
    get stdin() {
      return process.stdin;
    },
    get stdout() {
      return forgiving(process.stdout);
    },
    get stderr() {
      return forgiving(process.stderr);
    },
    nowMs: () => Date.now(),
    bootId,
    rawArguments,
    onUncaught(report) {
      const handle = (error: unknown): void => {
        report(error);
        void endUncaught();
      };
      // Unhandled rejections arrive here as well.
      process.on("uncaughtException", handle);
      return { [Symbol.dispose]: () => void process.off("uncaughtException", handle) };
    },
    onContinue(goesOn) {
      process.on("SIGCONT", goesOn);
      return { [Symbol.dispose]: () => void process.off("SIGCONT", goesOn) };
    },
    onInterrupt(stop) {
      let stopped = false;
      const handle = (signal: NodeJS.Signals): void => {
        if (!stopped) {
          stopped = true;
          stop(signal);
          return;
        }
        // Not by `process.exit`: it waits for threads, and one may be blocked on a pipe without a writer.
        process.off(signal, handle);
        process.kill(process.pid, signal);
      };
      process.on("SIGINT", handle);
      process.on("SIGTERM", handle);
      return {
        [Symbol.dispose]: () => {
          process.off("SIGINT", handle);
          process.off("SIGTERM", handle);
        },
      };
    },
  };
}

/** Reads the boot id; `undefined` where the kernel does not tell. */
function bootId(): string | undefined {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
  } catch {
    return undefined;
  }
}

function rawArguments(): readonly Buffer[] | undefined {
  try {
    const bytes = readFileSync("/proc/self/cmdline");
    // One character per byte, for the split.
    return bytes
      .toString("latin1")
      .split("\0")
      .map((argument) => Buffer.from(argument, "latin1"));
  } catch {
    return undefined;
  }
}

/** Ends the program after an error that nothing caught, once its report is written. */
async function endUncaught(): Promise<void> {
  await written();
  process.exit(1);
}

/** Standard output and error, once the program wrote to them: to touch them is to open them. */
const used = new Set<NodeJS.WriteStream>();

/**
 * Waits until everything written to standard output and error has reached the system. Node writes to pipes and sockets
 * without blocking, so a reader that is slower than we are has the rest still before it when the work is done.
 */
export async function written(): Promise<void> {
  const unwritten = [...used].filter((stream) => stream.writableLength > 0 && !stream.destroyed);
  // The callback is called with an error as well: a reader that has gone away keeps nobody waiting.
  await Promise.all(unwritten.map(async (stream) => new Promise<void>((resolve) => stream.write("", () => resolve()))));
}

/**
 * Makes a stream that survives a closed reader (`kiln images | head -1`). A full disk behind the stream is an error: it
 * fails the command at the end but does not stop it, because its work may be worth more than its output.
 */
function forgiving<T extends NodeJS.WriteStream>(stream: T): T {
  if (stream.listenerCount("error") === 0) {
    used.add(stream);
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EPIPE") return;
      process.once("exit", () => {
        if (process.exitCode !== undefined && process.exitCode !== 0) return;
        process.exitCode = 1;
        if (Object.is(stream, process.stdout))
          process.stderr.write(`kiln: cannot write to standard output: ${error.message}\n`);
      });
    });
  }
  return stream;
}

/**
 * Returns the working directory, or the shell's idea of it when it has been deleted: relative paths are not found, and
 * the rest works.
 */
function workingDirectory(): string {
  try {
    return process.cwd();
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
    return process.env["PWD"] || "/";
  }
}
