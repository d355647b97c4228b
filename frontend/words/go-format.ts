/*
 * The verbs of Go's `fmt` that history texts need.
 */

/** Formats a string as `%q`: Go syntax, printable Unicode kept. */
export function goQuote(text: string): string {
  let quoted = "";
  for (const char of text) quoted += NAMED[char] ?? (isPrintable(char) ? char : escapeOf(char.codePointAt(0) ?? 0));
  return `"${quoted}"`;
}

/** Formats a list of strings as `%q`: `["a" "b"]`. */
export function goQuoteList(list: readonly string[]): string {
  return `[${list.map(goQuote).join(" ")}]`;
}

/** Formats a list of strings as `%v`: `[a b]`. */
export function goList(list: readonly string[]): string {
  return `[${list.join(" ")}]`;
}

/** Formats a duration as Go's `time.Duration.String()`: `1m30s`, `1.5s`, `250ms`, `0s`. */
export function goDuration(nanoseconds: number): string {
  if (nanoseconds === 0) return "0s";
  const sign = nanoseconds < 0 ? "-" : "";
  const total = BigInt(Math.abs(nanoseconds));
  for (const [unit, size] of [
    ["ns", 1n],
    ["µs", 1_000n],
    ["ms", 1_000_000n],
  ] as const) {
    if (total < size * 1000n) return `${sign}${decimal(total, size)}${unit}`;
  }
  const minutes = total / 60_000_000_000n;
  const seconds = `${decimal(total % 60_000_000_000n, 1_000_000_000n)}s`;
  if (minutes === 0n) return `${sign}${seconds}`;
  const hours = minutes / 60n;
  return `${sign}${hours === 0n ? "" : `${hours}h`}${minutes % 60n}m${seconds}`;
}

const NAMED: Readonly<Record<string, string>> = {
  "\u0007": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
  "\\": "\\\\",
  '"': '\\"',
};

/** Does what Go's `unicode.IsPrint` does. */
function isPrintable(char: string): boolean {
  // Most text is ASCII, and the first use of the tables behind the expression takes over a millisecond.
  return (char >= " " && char <= "~") || BEYOND_ASCII.test(char);
}

const BEYOND_ASCII = /[\p{L}\p{M}\p{N}\p{P}\p{S}]/u;

function escapeOf(code: number): string {
  const hex = code.toString(16);
  if (code < 0x80) return `\\x${hex.padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
}

function decimal(amount: bigint, unit: bigint): string {
  const digits = unit.toString().length - 1;
  const fraction = (amount % unit).toString().padStart(digits, "0").replace(/0+$/, "");
  return unit === 1n || fraction === "" ? `${amount / unit}` : `${amount / unit}.${fraction}`;
}
