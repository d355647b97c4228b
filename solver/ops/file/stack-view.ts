import type { LayerRuns } from "../../../lib/core/run-interval.ts";
import type { Native } from "../../../lib/native/native.ts";
import { readDigests } from "../../select/file-digests.ts";
import { MergedTree } from "../../../lib/tree/merged-tree.ts";
import type { Marks } from "../../../lib/tree/overlay-marks.ts";
import { SourceView } from "../../../lib/tree/source-view.ts";

/**
 * Makes a view of snapshots to copy from: a stage, an image, a checkout. Disposing closes its descriptors.
 * `directories` are topmost first; `name` is for errors.
 */
export function stackView(options: {
  readonly native: Native;
  readonly directories: readonly string[];
  /** `undefined` for a plain directory. */
  readonly marks: Marks | undefined;
  readonly name: string;
  /** The `runsOf` of `SourceView`. */
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
