import { contentTime, type LayerRuns } from "../../lib/core/run-interval.ts";
import { O_DIRECTORY, O_PATH } from "../../lib/native/constants.ts";
import { wholeSecond } from "../../lib/tar/entry.ts";
import { type Directory, type Entry, MergedTree } from "../../lib/tree/merged-tree.ts";
import type { Stack } from "../ports.ts";
import { type FileWorkDeps, runsOf } from "../ops/file/file-work.ts";
import { distinct } from "./layers.ts";

type Deps = Pick<FileWorkDeps, "native" | "snapshotter" | "snapshots">;

/**
 * Whether a layer shows times that it has from the layers it was made on, where others stand in the layers it is to go on now: of a
 * directory in which a step only wrote further down, or of a file of which it changed the mode. Their times are in no
 * content digest where a copy made them, and the layer would bring earlier ones back.
 *
 * Looks at nothing that is not here: what would have to be fetched for it is taken as it is.
 */
export async function showsOtherTimes(
  own: Stack[number],
  lower: { readonly before: Stack; readonly now: Stack },
  on: Deps,
  signal: AbortSignal,
): Promise<boolean> {
  const [row, ...others] = on.snapshots.getMany([own, ...new Set([...lower.before, ...lower.now])]);
  const wanted = new Set([...lower.before, ...lower.now]).size;
  if (row?.id !== own || others.length < wanted || [row, ...others].some(({ state }) => state !== "present"))
    return false;
  const dirfd = on.native.openPath(on.snapshotter.pathOf(own), O_PATH | O_DIRECTORY);
  try {
    const scan = await on.native.scanTree(dirfd);
    await using stack = new AsyncDisposableStack();
    const before = await openTree(lower.before, stack, on, signal);
    const now = await openTree(lower.now, stack, on, signal);
    // Of each row that is a directory below too, where it is there.
    const found = new Map<number, Places>([[0, { before: before.tree.root, now: now.tree.root }]]);
    for (let index = 1; index < scan.count; index += 1) {
      const above = found.get(scan.columns.parent[index] ?? 0);
      if (above === undefined) continue;
      const name = scan.name(index);
      const was = before.tree.child(above.before, name);
      const is = now.tree.child(above.now, name);
      if (was === undefined || is === undefined) continue;
      if (was.directory !== undefined && is.directory !== undefined) {
        found.set(index, { before: was.directory, now: is.directory });
      }
      const shown = wholeSecond(scan.columns.mtimeNs[index] ?? 0n);
      if (shown === wholeSecond(was.status.mtimeNs) && shown !== wholeSecond(is.status.mtimeNs)) {
        // The time of the one run is as good as that of the other.
        if (before.timeOf(was) !== "now" || now.timeOf(is) !== "now") return true;
      }
    }
    return false;
  } finally {
    on.native.close(dirfd);
  }
}

interface Places {
  readonly before: Directory;
  readonly now: Directory;
}

async function openTree(
  stack: Stack,
  open: AsyncDisposableStack,
  { native, snapshotter, snapshots }: Deps,
  signal: AbortSignal,
): Promise<{ readonly tree: MergedTree; timeOf(entry: Entry): string }> {
  const { directories } = open.use(await snapshotter.view(distinct(stack), signal));
  const tree = open.use(new MergedTree({ native, directories, marks: snapshotter.marks }));
  const runs = new Map<string, LayerRuns>();
  for (const row of snapshots.getMany(stack)) runs.set(snapshotter.pathOf(row.id), runsOf(row));
  return { tree, timeOf: ({ status, layer }) => contentTime(status.mtimeNs, runs.get(directories[layer] ?? "")) };
}
