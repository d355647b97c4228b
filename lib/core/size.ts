/**
 * Parses bytes in `64m`, `1.5g`, `100MB`, `512`: docker's powers of 1024.
 * @returns `undefined` for what is not a size
 */
export function parseSize(text: string): number | undefined {
  const [, amount, unit = ""] = /^(\d+(?:\.\d+)?)\s*([kmgtp]?)i?b?$/i.exec(text.trim()) ?? [];
  if (amount === undefined) return undefined;
  // indexOf gives 0 for bytes, because of the leading space.
  return Math.floor(Number(amount) * 1024 ** " kmgtp".indexOf(unit.toLowerCase() || " "));
}
