import { mustKiln } from "../e2e/harness.ts";

/** A line of `kiln du --format json`. */
export interface DiskUsageRow {
  readonly Type: string;
  readonly Bytes: number;
  readonly Description: string;
}

/** Asks kiln what takes space in a store; the row of type `other` is what no item owns. */
export function diskUsage(store: string): readonly DiskUsageRow[] {
  const lines = mustKiln(store, ["du", "--format", "json"]).stdout.trim().split("\n");
  return lines.map((line) => JSON.parse(line) as DiskUsageRow);
}

export function totalOf(rows: readonly DiskUsageRow[]): number {
  return rows.reduce((sum, { Bytes }) => sum + Bytes, 0);
}
