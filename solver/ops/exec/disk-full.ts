import { rmSync, writeFileSync } from "node:fs";
import { BuildError, errnoOf } from "../../../lib/core/errors.ts";
import type { Span } from "../../../lib/core/span.ts";

/** A command that met a full disk has left less than this. */
const PROBE_BYTES = 64 * 1024;

/**
 * Whether the disk that holds a directory of ours is full, for us: blocks, inodes and quotas alike are asked by writing a
 * file, because no number says all of that.
 */
export function isDiskFull(directory: string): boolean {
  const probe = `${directory}.probe`;
  try {
    writeFileSync(probe, Buffer.alloc(PROBE_BYTES), { mode: 0o600 });
    return false;
  } catch (error) {
    const code = errnoOf(error);
    return code === "ENOSPC" || code === "EDQUOT";
  } finally {
    rmSync(probe, { force: true });
  }
}

/** A raw error of a full disk in a step's work, as the failure of the step; any other error as it is. */
export function toldIfDiskFull(
  error: unknown,
  step: { readonly instruction: string; readonly span: Span | undefined },
): unknown {
  const code = error instanceof BuildError ? undefined : errnoOf(error);
  if (code !== "ENOSPC" && code !== "EDQUOT") return error;
  return diskFull(step.instruction, { span: step.span, cause: error });
}

/** What a command's own failure is told as, where it failed for want of space. */
export function diskFull(
  instruction: string,
  at: {
    readonly span?: Span | undefined;
    readonly detail?: string | undefined;
    readonly logPath?: string | undefined;
    readonly cause?: unknown;
  },
): BuildError {
  const log = at.logPath === undefined ? "" : `; the whole log is ${at.logPath}`;
  return new BuildError("store/full", `Cannot run "${instruction}": no space left on the disk that holds the store`, {
    span: at.span,
    detail: at.detail,
    hint: `free space with "kiln prune", or keep the store on another disk with --root${log}`,
    cause: at.cause,
  });
}
