import type { TreeScan } from "../native/scan.ts";

/** Children of each directory of a scan as linked lists of row numbers; 0, the root's row, ends a list. */
export interface ScanLinks {
  readonly first: Int32Array;
  readonly next: Int32Array;
}

/**
 * Links the rows of a scan. Each row has its parent's number, and a directory comes before its content: going backwards
 * keeps each list in order.
 */
export function scanLinks(scan: TreeScan): ScanLinks {
  const { parent } = scan.columns;
  const first = new Int32Array(parent.length);
  const next = new Int32Array(parent.length);
  for (let row = parent.length - 1; row > 0; row -= 1) {
    const above = parent[row] ?? 0;
    next[row] = first[above] ?? 0;
    first[above] = row;
  }
  return { first, next };
}
