import { contentTime, type LayerRuns } from "../../lib/core/run-interval.ts";
import { O_DIRECTORY, O_PATH } from "../../lib/native/constants.ts";
import { wholeSecond } from "../../lib/tar/entry.ts";
import { type Directory, type Entry, MergedTree } from "../../lib/tree/merged-tree.ts";
import type { Stack } from "../ports.ts";
import { type FileWorkDeps, runsOf } from "../ops/file/file-work.ts";
import { distinct } from "./layers.ts";

type Deps = Pick<FileWorkDeps, "native" | "snapshotter" | "snapshots">;

/**
 * Tells whether a layer shows times that come from the layers below it, where the present layers below have others: the
 * times of a directory in which a step only wrote further down, or of a file with a changed mode. Where a copy made
 * them, those times are in no content digest, and the layer would bring earlier ones back.
 *
 * It fetches nothing: absent layers are assumed to agree.
 */
export async function showsOtherTimes(
  own: Stack[number],
  lower: { readonly before: Stack; readonly now: Stack },
  deps: Deps,
  signal: AbortSignal,
): Promise<boolean> {
  const [row, ...others] = deps.snapshots.getMany([own, ...new Set([...lower.before, ...lower.now])]);
  const wanted = new Set([...lower.before, ...lower.now]).size;
  if (row?.id !== own || others.length < wanted || [row, ...others].some(({ state }) => state !== "present"))
    return false;
  const dirfd = deps.native.openPath(deps.snapshotter.pathOf(own), O_PATH | O_DIRECTORY);
  try {
    const scan = await deps.native.scanTree(dirfd);
    await using stack = new AsyncDisposableStack();
    const before = await openTree(lower.before, stack, deps, signal);
    const now = await openTree(lower.now, stack, deps, signal);
    // For each row that is also a directory below: that directory, where it is present.
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
        // The time of either run will do.
        if (before.timeOf(was) !== "now" || now.timeOf(is) !== "now") return true;
      }
    }
    return false;
  } finally {
    deps.native.close(dirfd);
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
