import { printableLine } from "../../lib/core/printable.ts";

/** Pads columns like docker: three spaces apart, no trailing blanks. Cells may hold foreign text. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [header, ...rows.map((row) => row.map(printableLine))];
  const widths = header.map((_, column) => Math.max(...all.map((row) => (row[column] ?? "").length)));
  return all.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("   ")
      .trimEnd(),
  );
}

/** Formats `5 minutes ago`, like docker. */
export function ago(thenMs: number, nowMs: number): string {
  const seconds = Math.max(0, Math.round((nowMs - thenMs) / 1000));
  const steps: readonly (readonly [string, number, number])[] = [
    ["second", 1, 60],
    ["minute", 60, 3600],
    ["hour", 3600, 48 * 3600],
    ["day", 86_400, 14 * 86_400],
    ["week", 7 * 86_400, 60 * 86_400],
    ["month", 30 * 86_400, 730 * 86_400],
    ["year", 365 * 86_400, Number.POSITIVE_INFINITY],
  ];
  if (seconds < 1) return "Less than a second ago";
  for (const [unit, size, limit] of steps) {
    if (seconds >= limit) continue;
    const count = Math.floor(seconds / size);
    return `${count} ${unit}${count === 1 ? "" : "s"} ago`;
  }
  return "";
}

/** Returns the first 12 hex digits of a digest, docker's short id. */
export function shortId(digest: string): string {
  return digest.replace(/^sha256:/, "").slice(0, 12);
}
