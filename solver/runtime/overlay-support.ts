import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ProbeContext, probeOverlay } from "./probe.ts";

export interface OverlaySupportOptions extends ProbeContext {
  /** Told once where overlayfs does not work, and what that costs. */
  notice(message: string): void;
}

/**
 * Whether overlayfs can be mounted where builds are, found out by doing it when it is first asked. That it works is
 * remembered in `directory` for this kernel and disk; that it does not is tried again by the next kiln, because
 * somebody may have seen to it.
 */
export function overlaySupport(options: OverlaySupportOptions): (signal: AbortSignal) => Promise<boolean> {
  let answer: Promise<boolean> | undefined;
  return (signal) => (answer ??= tryOverlay(options, signal));
}

async function tryOverlay(options: OverlaySupportOptions, signal: AbortSignal): Promise<boolean> {
  const { directory, overlayMarks } = options;
  mkdirSync(directory, { recursive: true });
  const kernel = readFileSync("/proc/sys/kernel/osrelease", "utf8").trim();
  const known = join(directory, `overlay-${overlayMarks}-${statSync(directory).dev}-${kernel}`);
  if (existsSync(known)) return true;
  const { ok, detail } = await probeOverlay(options, signal);
  if (ok) writeFileSync(known, "");
  // Where no sandbox works at all the step itself says why.
  if (ok || !detail.includes("overlay")) return true;
  options.notice(
    `overlayfs cannot be mounted here: before each RUN the whole image is copied, and afterwards compared, which takes time and ` +
      `disk space in proportion to the image; "kiln doctor" says how to avoid it (${detail})`,
  );
  return false;
}
