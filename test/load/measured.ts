import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { PROJECT } from "../e2e/harness.ts";

/** The end of a kiln whose output was read while it ran. */
export interface Measured {
  readonly status: number;
  /** The largest resident size that was seen. */
  readonly peakBytes: number;
}

/** Runs `bin/kiln` and hands over what it prints on standard error. */
export async function runMeasured(
  root: string,
  args: readonly string[],
  take: (chunk: Buffer) => void,
): Promise<Measured> {
  const child = spawn(join(PROJECT, "bin/kiln"), ["--root", root, ...args], { stdio: ["ignore", "ignore", "pipe"] });
  let peakBytes = 0;
  const measure = (): void => {
    peakBytes = Math.max(peakBytes, peakOf(child.pid ?? 0));
  };
  const ticking = setInterval(measure, 20);
  child.stderr.on("data", take);
  const status = await new Promise<number>((resolve) => child.once("close", (code) => resolve(code ?? -1)));
  clearInterval(ticking);
  return { status, peakBytes };
}

function peakOf(pid: number): number {
  try {
    const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
    return Number(kilobytes ?? 0) * 1024;
  } catch {
    // It has ended.
    return 0;
  }
}
