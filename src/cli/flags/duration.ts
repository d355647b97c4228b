import { BuildError } from "../../../lib/core/errors.ts";

/**
 * Parses `24h`, `7d`, `1h30m` and, without a unit, `0`.
 * @param where its place, for errors
 */
export function durationMs(text: string, where: string): number {
  const units: Readonly<Record<string, number>> = { s: 1e3, m: 60e3, h: 3600e3, d: 86_400e3, w: 604_800e3 };
  if (text === "0") return 0;
  if (!/^(\d+[smhdw])+$/.test(text)) {
    throw new BuildError("cli/usage", `Cannot read duration ${JSON.stringify(text)} of ${where}`, {
      hint: 'write it like "24h" or "7d"',
    });
  }
  return [...text.matchAll(/(\d+)([smhdw])/g)].reduce(
    (sum, [, count, unit]) => sum + Number(count) * (units[unit ?? ""] ?? 0),
    0,
  );
}
