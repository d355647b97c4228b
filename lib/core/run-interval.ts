/** The time in which a command ran, as the kernel stamped files meanwhile: nanoseconds since 1970, both ends included. */
export interface RunInterval {
  readonly fromNs: bigint;
  readonly untilNs: bigint;
}

/** The times of which a layer's files say no more than "now". Without a list no time of the layer counts. */
export type LayerRuns = readonly RunInterval[] | undefined;

/** A file's time as it counts in a layer of these runs; docs/results.md has the rules, and pack.c the same. */
export function contentTime(mtimeNs: bigint, runs: LayerRuns): string {
  if (runs === undefined) return "-";
  return runs.some(({ fromNs, untilNs }) => mtimeNs >= fromNs && mtimeNs <= untilNs) ? "now" : mtimeNs.toString();
}

/** The same runs for times of which only the whole seconds are left. */
export function inWholeSeconds(runs: readonly RunInterval[]): readonly RunInterval[] {
  return runs.map(({ fromNs, untilNs }) => ({ fromNs: fromNs - (fromNs % 1_000_000_000n), untilNs }));
}

/** As text and back: pairs of numbers of nanoseconds. */
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
