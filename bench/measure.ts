import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Builder } from "./builders.ts";

export interface Measured {
  readonly wallMs: number;
  /** Processor time of the whole machine meanwhile, so that a daemon's work counts. In steps of 10 ms. */
  readonly cpuMs: number;
  /** The largest process: of the command, or of the builder's daemons. Undefined without /usr/bin/time. */
  readonly peakBytes: number | undefined;
}

const CLOCK_TICK_MS = 10;
const GNU_TIME = "/usr/bin/time";

/** Runs one command and measures it. Throws with the command's output when it fails. */
export function measure(builder: Pick<Builder, "daemons">, command: readonly string[]): Measured {
  const report = mkdtempSync(join(tmpdir(), "kiln-measure-"));
  try {
    const counted = existsSync(GNU_TIME);
    const [program = "", ...args] = counted
      ? [GNU_TIME, "--format=%M", `--output=${join(report, "kib")}`, ...command]
      : command;
    const daemons = processesNamed(builder.daemons);
    for (const pid of daemons) resetPeak(pid);
    const cpuBefore = machineCpuMs();
    const start = performance.now();
    const { status, stderr, error } = spawnSync(program, args, {
      stdio: ["ignore", "ignore", "pipe"],
      maxBuffer: 1 << 26,
    });
    const wallMs = performance.now() - start;
    const cpuMs = machineCpuMs() - cpuBefore;
    if (status !== 0) throw new Error(`${command.join(" ")}: ${error?.message ?? String(stderr)}`);
    const own = counted ? Number(readFileSync(join(report, "kib"), "utf8").trim()) * 1024 : undefined;
    const peakBytes = own === undefined ? undefined : Math.max(own, ...daemons.map(peakOf));
    return { wallMs, cpuMs, peakBytes };
  } finally {
    rmSync(report, { recursive: true, force: true });
  }
}

/** Sums what the processors did since the start of the machine: all columns of `cpu` in /proc/stat but idle and iowait. */
function machineCpuMs(): number {
  const [first = ""] = readFileSync("/proc/stat", "utf8").split("\n");
  const [user = 0, nice = 0, system = 0, , , irq = 0, softIrq = 0] = first.trim().split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + softIrq) * CLOCK_TICK_MS;
}

function processesNamed(names: readonly string[]): readonly string[] {
  if (names.length === 0) return [];
  return readdirSync("/proc").filter((entry) => {
    if (!/^\d+$/.test(entry)) return false;
    try {
      return names.includes(readFileSync(`/proc/${entry}/comm`, "utf8").trim());
    } catch {
      return false; // The process has ended.
    }
  });
}

/** Begins a new measurement of the largest resident size (`VmHWM`), as proc(5) says of clear_refs. Needs root. */
function resetPeak(pid: string): void {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, "5");
  } catch {
    // Without the right, the peak since the daemon's start is reported.
  }
}

function peakOf(pid: string): number {
  try {
    const line = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
    return Number(line?.[1] ?? 0) * 1024;
  } catch {
    return 0; // The process has ended.
  }
}
