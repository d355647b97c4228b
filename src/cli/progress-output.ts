import { BuildError } from "../../lib/core/errors.ts";
import { printable } from "../../lib/core/printable.ts";
import type { ProgressSink } from "../../lib/core/progress.ts";
import { DEFAULT_COLORS } from "../progress/colors.ts";
import { foldMarks } from "../progress/folds.ts";
import { type ProgressMode, createProgress } from "../progress/progress.ts";
import type { CommandContext } from "./context.ts";
import type { Host } from "./host.ts";
import { useColors } from "./print-error.ts";
import { readColors } from "./flags/colors.ts";
import type { ProgressDisplay } from "../progress/display.ts";

const MODES = ["auto", "tty", "plain", "plain-in-order", "quiet", "rawjson", "events", "none"] as const;
/** The text of the flag's help. */
export const MODES_TEXT =
  "auto, tty, plain, plain-in-order, quiet, rawjson (BuildKit's), events or none (BUILDKIT_PROGRESS)";

/**
 * Chooses the progress mode.
 * @throws {BuildError} `cli/usage` for an unknown mode, and for a mode together with --quiet
 */
export function progressMode(flag: string | undefined, quiet: boolean, host: Host): ProgressMode {
  const text = flag || (quiet ? "quiet" : host.env["BUILDKIT_PROGRESS"] || "auto");
  const mode = MODES.find((one) => one === text);
  if (mode === undefined) {
    throw new BuildError("cli/usage", `Cannot use --progress ${JSON.stringify(text)}`, {
      hint: `it is one of ${MODES.join(", ")}`,
    });
  }
  if (quiet && mode !== "quiet" && mode !== "auto") {
    throw new BuildError("cli/usage", `progress=${mode} and quiet cannot be used together`);
  }
  if (quiet) return "quiet";
  if (mode !== "auto") return mode;
  // A dumb terminal, as inside an editor, cannot move its cursor, and lines of KILN_DEBUG between the frames would be overwritten.
  const canDraw = host.env["TERM"] !== "dumb" && !host.env["KILN_DEBUG"];
  if (host.stderr.isTTY === true && canDraw) return "tty";
  // Sections of a folded log do not overlap.
  return foldMarks(host.env) === undefined ? "plain" : "plain-in-order";
}

/** Opens a display on standard error. `title` says what the live one is of. */
export function openProgress(
  mode: ProgressMode,
  host: Host,
  title: "Building" | "Pulling" | "Pushing" = "Building",
): ProgressDisplay {
  const onContinue = host.onContinue?.bind(host);
  return createProgress(mode, {
    write: (text) => void host.stderr.write(text),
    // A terminal without a set size reports 0.
    size: () => ({ columns: host.stderr.columns || 80, rows: host.stderr.rows || 24 }),
    colors: useColors(host) && { ...DEFAULT_COLORS, ...readColors(host.env["BUILDKIT_COLORS"] ?? "").colors },
    title,
    logLines: logLines(host.env["BUILDKIT_TTY_LOG_LINES"]),
    folds: mode === "plain" || mode === "plain-in-order" ? foldMarks(host.env) : undefined,
    rewraps: host.env["XTERM_VERSION"] === undefined && host.env["TERM"] !== "linux",
    ...(mode === "tty" && onContinue !== undefined ? { afterStop: onContinue } : {}),
    nowMs: () => host.nowMs(),
    every: (milliseconds, tick) => {
      const timer = setInterval(tick, milliseconds).unref();
      return { [Symbol.dispose]: () => clearInterval(timer) };
    },
  });
}

/** Makes a sink for commands without a display: it prints only notices. */
export function noticesOnly(context: Pick<CommandContext, "warn">): ProgressSink {
  return (event) => {
    if (event.kind === "notice" && event.level === "warning") context.warn(`kiln: ${printable(event.message)}`);
  };
}

function logLines(text: string | undefined): number {
  return text !== undefined && /^\d{1,3}$/.test(text) ? Number(text) : 6;
}
