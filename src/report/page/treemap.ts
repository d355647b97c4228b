/** A rectangle, in any unit. */
export interface Area {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/**
 * Divides a rectangle among sizes, each part nearly square: rows along the shorter side, each filled as long as its worst
 * part becomes squarer by it (Bruls, Huizing and van Wijk).
 * @param sizes positive, largest first
 */
export function divide(sizes: readonly number[], { x, y, width, height }: Area): readonly Area[] {
  const total = sizes.reduce((sum, one) => sum + one, 0);
  if (total <= 0 || width <= 0 || height <= 0) return sizes.map(() => ({ x, y, width: 0, height: 0 }));
  const scale = (width * height) / total;
  const areas = sizes.map((one) => one * scale);
  const parts: Area[] = [];
  let free = { x, y, width, height };
  let from = 0;
  while (from < areas.length) {
    const side = Math.min(free.width, free.height);
    let until = from + 1;
    let sum = areas[from] ?? 0;
    while (until < areas.length) {
      const next = sum + (areas[until] ?? 0);
      if (worst(areas.slice(from, until + 1), next, side) > worst(areas.slice(from, until), sum, side)) break;
      sum = next;
      until += 1;
    }
    const depth = side === 0 ? 0 : sum / side;
    let along = 0;
    const isColumn = free.width >= free.height;
    for (const area of areas.slice(from, until)) {
      const length = depth === 0 ? 0 : area / depth;
      parts.push(
        isColumn
          ? { x: free.x, y: free.y + along, width: depth, height: length }
          : { x: free.x + along, y: free.y, width: length, height: depth },
      );
      along += length;
    }
    free = isColumn
      ? { ...free, x: free.x + depth, width: Math.max(0, free.width - depth) }
      : { ...free, y: free.y + depth, height: Math.max(0, free.height - depth) };
    from = until;
  }
  return parts;
}

/** Computes the worst ratio of sides in a row. */
function worst(row: readonly number[], sum: number, side: number): number {
  const largest = Math.max(...row);
  const least = Math.min(...row);
  if (least <= 0 || sum <= 0) return Number.POSITIVE_INFINITY;
  return Math.max((side ** 2 * largest) / sum ** 2, sum ** 2 / (side ** 2 * least));
}
