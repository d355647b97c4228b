import type { LayerRuns } from "../../../lib/core/run-interval.ts";
import type { Native } from "../../../lib/native/native.ts";
import { readDigests } from "../../select/file-digests.ts";
import { MergedTree } from "../../../lib/tree/merged-tree.ts";
import type { Marks } from "../../../lib/tree/overlay-marks.ts";
import { SourceView } from "../../../lib/tree/source-view.ts";

/**
 * A tree of snapshots to copy from: a stage, an image, a checkout. Disposing closes its descriptors.
 * `directories` are topmost first; `name` is what errors call it.
 */
export function stackView(options: {
  readonly native: Native;
  readonly directories: readonly string[];
  /** `undefined` for a plain directory. */
  readonly marks: Marks | undefined;
  readonly name: string;
  /** As `SourceView.runsOf`. */
  readonly runsOf?: ((layer: number) => LayerRuns) | undefined;
}): SourceView & Disposable {
  const tree = new MergedTree(options);
  const view = new SourceView({
    tree,
    owners: "kept",
    root: options.name,
    prune: {},
    digests: readDigests,
    runsOf: options.runsOf,
    // Snapshots never change, so no file in them can be younger than its scan.
    nowNs: () => 0n,
  });
  return Object.assign(view, {
    [Symbol.dispose]() {
      tree[Symbol.dispose]();
    },
  });
}
