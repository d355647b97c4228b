import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { PROJECT } from "../e2e/harness.ts";

/** A kiln of a process group of its own. */
export interface Victim {
  readonly child: ChildProcess;
  /** Resolves with the exit status, or -1 after a signal, and what was said. */
  readonly ended: Promise<{ readonly status: number; readonly said: string }>;
}

/** A blow to a kiln at some moment. Afterwards it has ended. */
export type Fault = (victim: Victim, random: () => number) => Promise<void>;

export function startVictim(store: string, args: readonly string[], temporaries: string): Victim {
  const child = spawn(join(PROJECT, "bin/kiln"), ["--root", store, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
    env: { ...process.env, TMPDIR: temporaries },
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (said += text));
  const ended = new Promise<{ status: number; said: string }>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status) => resolve({ status: status ?? -1, said }));
  });
  return { child, ended };
}

/** The faults by name. */
export const FAULTS: Readonly<Record<string, Fault>> = {
  "SIGKILL of kiln alone": async ({ child, ended }) => {
    child.kill("SIGKILL");
    await ended;
  },
  "SIGKILL of all its processes": async ({ child, ended }) => {
    signalGroup(child, "SIGKILL");
    await ended;
  },
  "SIGSTOP for a while": async ({ child, ended }, random) => {
    signalGroup(child, "SIGSTOP");
    await pause(random() * 150);
    signalGroup(child, "SIGCONT");
    await ended;
  },
  "SIGSTOP, then SIGKILL": async ({ child, ended }, random) => {
    child.kill("SIGSTOP");
    await pause(random() * 50);
    child.kill("SIGKILL");
    await ended;
  },
  "SIGTERM twice": async ({ child, ended }, random) => {
    child.kill("SIGTERM");
    await pause(random() * 20);
    child.kill("SIGTERM");
    await ended;
  },
};

/** Signals a whole process group; one that has ended needs none. */
function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  try {
    process.kill(-(child.pid ?? 0), signal);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}
