/** Nanoseconds per unit. Go accepts both characters for micro. */
const UNITS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  "\u00b5s": 1e3,
  "\u03bcs": 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** Upper bound of a signed 64-bit number, in nanoseconds. */
const MAX_NS = 2 ** 63;

/** An error for text that is not a duration; the message gives the reason. */
export class DurationError extends Error {}

/**
 * Parses a duration as Go's time.ParseDuration does: `1h30m`, `1.5s`, `-2ms`, `0`. Returns nanoseconds.
 * @throws {DurationError}
 */
export function parseDuration(text: string): number {
  const quoted = JSON.stringify(text);
  const invalid = `time: invalid duration ${quoted}`;
  const isNegative = text.startsWith("-");
  let rest = text.replace(/^[-+]/, "");
  if (rest === "0") return 0;
  if (rest === "") throw new DurationError(invalid);
  let total = 0;
  while (rest !== "") {
    const amount = /^(?:\d+\.?\d*|\.\d+)/.exec(rest)?.[0];
    if (amount === undefined) throw new DurationError(invalid);
    rest = rest.slice(amount.length);
    const unit = /^[^.\d]*/.exec(rest)?.[0] ?? "";
    if (unit === "") throw new DurationError(`time: missing unit in duration ${quoted}`);
    const factor = Object.hasOwn(UNITS, unit) ? UNITS[unit] : undefined;
    if (factor === undefined)
      throw new DurationError(`time: unknown unit ${JSON.stringify(unit)} in duration ${quoted}`);
    rest = rest.slice(unit.length);
    const [whole = "", fraction = ""] = amount.split(".");
    total += Number(whole || "0") * factor + Math.trunc(Number(`0.${fraction || "0"}`) * factor);
    if (total >= MAX_NS) throw new DurationError(invalid);
  }
  return isNegative ? -total : total;
}
