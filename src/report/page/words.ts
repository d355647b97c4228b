import type { PageBuild, PageStep } from "../data.ts";

/** Formats a time span: `12 ms`, `1.2 s`, `3 min 5 s`. */
export function duration(milliseconds: number | undefined): string {
  if (milliseconds === undefined) return "";
  if (milliseconds < 0.5) return "0 ms";
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 60_000) return `${(milliseconds / 1000).toFixed(milliseconds < 10_000 ? 2 : 1)} s`;
  const seconds = Math.round(milliseconds / 1000);
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min ${seconds % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Formats bytes in powers of 1000: `5.2 MB`. */
export function size(bytes: number | undefined): string {
  if (bytes === undefined) return "";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : Number(value.toPrecision(3))} ${units[unit] ?? ""}`;
}

/** Formats a difference with its sign; a minus that is as wide as a plus. */
export function signed(difference: number, format: (value: number) => string): string {
  if (difference === 0) return "±0";
  return `${difference > 0 ? "+" : "\u2212"}${format(Math.abs(difference))}`;
}

export function count(number: number, noun: string): string {
  return `${number.toLocaleString("en-US")} ${noun}${number === 1 ? "" : "s"}`;
}

/** Says in a word how a step ended. */
export function outcome({
  how,
  state,
}: Pick<PageStep, "how" | "state">): "ran" | "cached" | "reused" | "failed" | "cancelled" {
  if (state === "failed" || state === "cancelled") return state;
  if (how === "cutoff") return "reused";
  return how === "cached" || state === "cached" ? "cached" : "ran";
}

export const STATUS: Readonly<Record<PageBuild["status"], string>> = {
  completed: "Completed",
  failed: "Failed",
  cancelled: "Cancelled",
  interrupted: "Interrupted",
  running: "Running",
};

/** Returns a step's length in milliseconds; `undefined` where one end is not known. */
export function took({ startMs, endMs }: Pick<PageStep, "startMs" | "endMs">): number | undefined {
  return startMs === undefined || endMs === undefined ? undefined : endMs - startMs;
}

/** Formats a moment in the reader's own words, with the zone. */
export function moment(timeMs: number): string {
  const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
  return format.format(new Date(timeMs));
}
