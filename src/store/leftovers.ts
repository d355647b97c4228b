import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { entriesOf } from "./disk.ts";
import { emptyTrash, moveAside } from "./garbage.ts";
import type { OpenStore } from "./open-store.ts";

/** Layers in the making and doomed ones; rows never name them. */
const UNFINISHED = /^(?:active|removed)-/;

/**
 * Deletes what processes that were killed were making. One look into `running/` when there are none: whoever ends by itself
 * takes its own file there away. Of a process that was killed beside others that still run, the rest goes when those and
 * the next killed one are gone, or with `kiln prune`.
 */
export async function removeLeftovers(store: OpenStore, signal: AbortSignal): Promise<void> {
  const { layout, root } = store;
  // The lock and our own.
  if (readdirSync(layout.running).length <= 2) return;
  const trash = join(root, "trash");
  const found = store.holds.collect(({ oldestStartMs }) => {
    const paths = [
      ...entriesOf(layout.snapshots).filter(({ name }) => UNFINISHED.test(name)),
      ...entriesOf(join(root, "scratch")),
    ].flatMap(({ path, changedMs }) => (changedMs < oldestStartMs ? [path] : []));
    if (paths.length > 0) mkdirSync(trash, { recursive: true, mode: 0o700 });
    for (const path of paths) moveAside(path, trash);
    return paths.length;
  });
  if (found > 0) await emptyTrash(store, trash, signal);
}
