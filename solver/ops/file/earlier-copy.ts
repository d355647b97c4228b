import { errnoOf } from "../../../lib/core/errors.ts";
import { O_DIRECTORY, O_PATH } from "../../../lib/native/constants.ts";
import type { Native } from "../../../lib/native/native.ts";
import type { FileOp } from "../../graph/op.ts";
import type { Selection } from "../../select/select.ts";
import { MergedTree } from "../../../lib/tree/merged-tree.ts";
import type { Marks } from "../../../lib/tree/overlay-marks.ts";
import type { TreeNode } from "../../../lib/tree/tree-node.ts";
import type { EarlierCopy } from "./file-batch.ts";

/** Minimum number of files: fewer are copied as fast as they are compared. */
const MIN_FILES = 64;

/**
 * Tells whether an op's result may share files with an earlier one: it must be one copy of one directory with many
 * files.
 */
export function isSharable(op: FileOp, selection: Selection | undefined): boolean {
  const [action] = op.actions;
  const [match] = selection?.matches ?? [];
  // With several copies, a file of the earlier result may come from another one than its path suggests.
  if (op.actions.length !== 1 || action?.kind !== "copy" || action.unpack !== "never") return false;
  return selection?.matches.length === 1 && match?.node.isDirectory === true && match.files.length >= MIN_FILES;
}

/**
 * An earlier result of the same op to share files with. Files with equal lines in both listings have the same content;
 * the lines do not contain times, which the addon compares file by file. Disposing closes it.
 */
export class EarlierResult implements Disposable {
  readonly #native: Native;
  readonly #directories: readonly string[];
  readonly #marks: Marks;
  readonly #destination: string;
  readonly #same: ReadonlySet<TreeNode>;
  #fd: number | undefined;

  constructor(options: {
    readonly native: Native;
    readonly marks: Marks;
    /** Directories of the whole earlier result, topmost first: the first is the op's own layer. */
    readonly directories: readonly string[];
    readonly op: FileOp;
    readonly listing: string;
    readonly selection: Selection;
  }) {
    const [action] = options.op.actions;
    this.#native = options.native;
    this.#marks = options.marks;
    this.#directories = options.directories;
    this.#destination = action?.kind === "copy" ? action.destination : "";
    this.#same = sameFiles(options.selection, options.listing);
  }

  /** Returns the earlier copy into this directory, if it went there: on another base a symlink may lead elsewhere. */
  into(target: string): EarlierCopy | undefined {
    const [top] = this.#directories;
    if (this.#same.size === 0 || top === undefined) return undefined;
    try {
      using tree = new MergedTree({ native: this.#native, directories: this.#directories, marks: this.#marks });
      if (tree.directoryAt(this.#destination)?.path !== target) return undefined;
      this.#fd ??= this.#native.openPath(top, O_PATH | O_DIRECTORY);
    } catch (error) {
      // A layer of the earlier result has been collected.
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    }
    return { fd: this.#fd, isSame: (node) => this.#same.has(node) };
  }

  [Symbol.dispose](): void {
    if (this.#fd !== undefined) this.#native.close(this.#fd);
    this.#fd = undefined;
  }
}

/** Finds the selected files with a line in the earlier listing too. Lines begin with the path, so each occurs once. */
function sameFiles({ listing, matches }: Selection, earlier: string): ReadonlySet<TreeNode> {
  const lines = new Set(earlier.split("\n"));
  const [match] = matches;
  const same = new Set<TreeNode>();
  // The first line stands for the copied directory itself.
  let from = listing.indexOf("\n") + 1;
  for (const { node } of match?.files ?? []) {
    const end = listing.indexOf("\n", from);
    if (lines.has(listing.slice(from, end))) same.add(node);
    from = end + 1;
  }
  return same;
}
