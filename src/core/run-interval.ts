/** From when until when a command ran, as the kernel stamped files meanwhile; nanoseconds since 1970, both ends within. */
export interface RunInterval {
  readonly fromNs: bigint;
  readonly untilNs: bigint;
}

/** A file's time as it counts in what a command made (`run`), or something else did; docs/results.md has the rules, and pack.c the same. */
export function contentTime(mtimeNs: bigint, run: RunInterval | undefined): string {
  if (run === undefined) return "-";
  return mtimeNs >= run.fromNs && mtimeNs <= run.untilNs ? "now" : mtimeNs.toString();
}
