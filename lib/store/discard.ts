import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { emptyTrash, moveAside } from "./garbage.ts";
import type { SnapshotId } from "./model.ts";
import type { OpenStore } from "./open-store.ts";

/**
 * Removes snapshots and logs that this process made and that no record or image has ever named, so nobody else can know
 * of them. Their ids must be random.
 */
export async function discard(
  store: OpenStore,
  made: { readonly snapshots: readonly SnapshotId[]; readonly logs: readonly string[] },
  signal: AbortSignal,
): Promise<void> {
  const { layout, root, database } = store;
  const trash = join(root, "trash");
  mkdirSync(trash, { recursive: true, mode: 0o700 });
  store.holds.collect(() => {
    database.transaction(() => {
      for (const id of made.snapshots) database.run("DELETE FROM snapshots WHERE id = ?", id);
    });
    for (const id of made.snapshots) moveAside(join(layout.snapshots, id), trash);
    for (const name of made.logs) moveAside(join(layout.logs, name), trash);
  });
  await emptyTrash(store, trash, signal);
}
