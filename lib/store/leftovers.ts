import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { keepInterrupted } from "./builds.ts";
import { type DirectoryEntry, entriesOf } from "./disk.ts";
import { emptyTrash, moveAside } from "./garbage.ts";
import type { Hold } from "./holds.ts";
import type { OpenStore } from "./open-store.ts";

/** Unfinished and doomed layers; no row names them. */
const UNFINISHED = /^(?:active|removed)-/;
/**
 * Folders of the sockets that forward an agent. No line holds them: they go when they are older than every running
 * process.
 */
const UNNOTED = /^ssh-/;

/**
 * Deletes the unfinished work of killed processes. When there are none, this costs one look into `running/`, because a
 * process that ends normally removes its own file there. The files of the killed go last, so that a process killed here
 * leaves the rest to the next.
 */
export async function removeLeftovers(store: OpenStore, signal: AbortSignal): Promise<void> {
  const { layout, root } = store;
  // The lock and our own file.
  if (readdirSync(layout.running).length <= 2) return;
  const trash = join(root, "trash");
  const { killed } = store.holds.collect((running) => {
    const left = [
      ...namesIn(layout.snapshots, "snapshot").filter(({ name }) => UNFINISHED.test(name)),
      ...namesIn(join(root, "scratch"), "scratch"),
    ].filter(
      ({ name, hold, changedMs }) =>
        !running.held.has(hold) && (!UNNOTED.test(name) || changedMs < running.oldestStartMs),
    );
    if (left.length > 0) mkdirSync(trash, { recursive: true, mode: 0o700 });
    for (const { path } of left) moveAside(path, trash);
    return running;
  });
  if (existsSync(trash)) await emptyTrash(store, trash, signal);
  for (const path of killed) {
    keepInterrupted(store, path);
    rmSync(path, { force: true });
  }
}

function namesIn(directory: string, kind: "snapshot" | "scratch"): (DirectoryEntry & { readonly hold: Hold })[] {
  return entriesOf(directory).map((entry) => ({ ...entry, hold: `${kind}:${entry.name}` }));
}
