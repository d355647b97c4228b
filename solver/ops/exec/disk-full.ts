import { rmSync, writeFileSync } from "node:fs";
import { BuildError, errnoOf } from "../../../lib/core/errors.ts";
import type { Span } from "../../../lib/core/span.ts";

/** Less free space than this means that the command met a full disk. */
const PROBE_BYTES = 64 * 1024;

/**
 * Tells whether the disk of a directory of ours is full. Writing a file checks blocks, inodes and quotas alike; no
 * single number covers them all.
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

/** Turns a raw error of a full disk in a step's work into the failure of the step; any other error stays as it is. */
export function toldIfDiskFull(
  error: unknown,
  step: { readonly instruction: string; readonly span: Span | undefined },
): unknown {
  const code = error instanceof BuildError ? undefined : errnoOf(error);
  if (code !== "ENOSPC" && code !== "EDQUOT") return error;
  return diskFull(step.instruction, { span: step.span, cause: error });
}

/** Makes the error for a command that failed for want of space. */
export function diskFull(
  instruction: string,
  failure: {
    readonly span?: Span | undefined;
    readonly detail?: string | undefined;
    readonly log?: string | undefined;
    readonly cause?: unknown;
  },
): BuildError {
  const log = failure.log === undefined ? "" : `; ${failure.log}`;
  return new BuildError("store/full", `Cannot run "${instruction}": no space left on the disk that holds the store`, {
    span: failure.span,
    detail: failure.detail,
    hint: `free space with "kiln prune", or keep the store on another disk with --root${log}`,
    cause: failure.cause,
  });
}
