/**
 * The time during which a command ran, as the kernel's file timestamps show it: nanoseconds since 1970, both ends
 * included.
 */
export interface RunInterval {
  readonly fromNs: bigint;
  readonly untilNs: bigint;
}

/**
 * Intervals of a layer. A file time inside one means only "now" and does not count. Without a list, no time of the
 * layer counts.
 */
export type LayerRuns = readonly RunInterval[] | undefined;

/**
 * Writes a file's time as it counts in a layer with these runs. docs/results.md has the rules, and pack.c implements
 * the same.
 */
export function contentTime(mtimeNs: bigint, runs: LayerRuns): string {
  if (runs === undefined) return "-";
  return runs.some(({ fromNs, untilNs }) => mtimeNs >= fromNs && mtimeNs <= untilNs) ? "now" : mtimeNs.toString();
}

/** Widens the runs for times that have only whole seconds. */
export function inWholeSeconds(runs: readonly RunInterval[]): readonly RunInterval[] {
  return runs.map(({ fromNs, untilNs }) => ({ fromNs: fromNs - (fromNs % 1_000_000_000n), untilNs }));
}

/** Writes runs as text, pairs of numbers of nanoseconds. */
export function formatRuns(runs: readonly RunInterval[]): string {
  return runs.map(({ fromNs, untilNs }) => `${fromNs} ${untilNs}`).join(" ");
}

export function parseRuns(text: string): readonly RunInterval[] {
  const numbers = text.split(" ").filter((word) => word !== "");
  return Array.from({ length: Math.floor(numbers.length / 2) }, (_, at) => ({
    fromNs: BigInt(numbers[2 * at] ?? 0),
    untilNs: BigInt(numbers[2 * at + 1] ?? 0),
  }));
}
