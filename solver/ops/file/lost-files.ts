import type { TreeNode } from "../../../lib/tree/tree-node.ts";
import { shown } from "./destination.ts";

/** A record of which sources of one instruction became which file, to find a later one that replaced another. */
export class LostFiles {
  readonly #written = new Map<string, { readonly node: TreeNode; readonly isNamed: boolean }>();
  readonly #lost = new Map<string, "one name" | "one directory">();

  /** Records a file. `isNamed`: it has the destination's name, not its own. */
  note(path: string, node: TreeNode, isNamed: boolean): void {
    const before = this.#written.get(path);
    this.#written.set(path, { node, isNamed });
    if (before !== undefined && before.node.inode !== node.inode)
      this.#lost.set(path, isNamed || before.isNamed ? "one name" : "one directory");
  }

  tell(warn: ((message: string, hint: string) => void) | undefined): void {
    for (const [path, kind] of this.#lost) {
      warn?.(
        `several sources become ${shown(path)}, and only the last one stays`,
        kind === "one name"
          ? "end the destination in / to put them into a directory of that name"
          : "files of one name need directories of their own, or COPY --parents",
      );
    }
  }
}
