import { unreachable } from "../../lib/core/errors.ts";
import type { CopyAction, ExecMount, ExecOp, Op } from "../graph/op.ts";
import { parentInput } from "../graph/op-facts.ts";

/**
 * The use that an op makes of one of its inputs. `part` names the key part for it and is unique within the op; two
 * actions that copy from one input are two uses.
 */
export type InputUse =
  /** The tree that the op changes or runs on. */
  | { readonly kind: "parent"; readonly part: string; readonly input: number }
  | { readonly kind: "copy"; readonly part: string; readonly input: number; readonly action: CopyAction }
  /** A bind mount, or the initial content of a new cache mount. */
  | { readonly kind: "path"; readonly part: string; readonly input: number; readonly source: string }
  /** The parent directories of a path, by themselves. */
  | { readonly kind: "way"; readonly part: string; readonly input: number; readonly path: string }
  /** All of it, as one of several layers. */
  | { readonly kind: "whole"; readonly part: string; readonly input: number };

/** Lists the uses in a fixed order; every input that counts appears. */
export function usesOf(op: Op, inputs: number): readonly InputUse[] {
  switch (op.kind) {
    case "exec": {
      const uses = parentUse(op);
      for (const [mount, part] of mountParts(op)) {
        const from = mount.type === "bind" ? mount : mount.type === "cache" ? mount.seed : undefined;
        if (from !== undefined) uses.push({ kind: "path", part, input: from.input, source: from.source });
      }
      return uses;
    }
    case "file": {
      const uses = parentUse(op);
      for (const [index, action] of op.actions.entries()) {
        if (action.kind !== "copy") continue;
        uses.push({ kind: "copy", part: copyPart(index), input: action.input, action });
      }
      if (op.way !== undefined) {
        uses.push({ kind: "way", part: `directories on the way to ${op.way.path}`, ...op.way });
      }
      return uses;
    }
    case "merge":
    case "diff":
      return Array.from({ length: inputs }, (_, input) => ({ kind: "whole", part: `layer ${input}`, input }));
    case "image":
    case "local":
    case "git":
    case "http":
      // Sources have no inputs.
      return [];
    default:
      return unreachable(op);
  }
}

function parentUse(op: Op): InputUse[] {
  const input = parentInput(op);
  return input === undefined ? [] : [{ kind: "parent", part: "parent", input }];
}

/** Lists the parts for the inputs that a command sees at its mount points. */
export function mountParts(op: ExecOp): ReadonlyMap<ExecMount, string> {
  const parts = new Map<ExecMount, string>();
  const seen = new Map<string, number>();
  for (const mount of op.mounts) {
    if (mount.type !== "bind" && (mount.type !== "cache" || mount.seed === undefined)) continue;
    const count = (seen.get(mount.target) ?? 0) + 1;
    seen.set(mount.target, count);
    // A mount may have the same target as an earlier one.
    parts.set(mount, `files in ${mount.target}${count === 1 ? "" : ` (${count})`}`);
  }
  return parts;
}

/** Returns the name of the part for the files that action `index` of a file op copies. */
export function copyPart(index: number): string {
  return index === 0 ? "files" : `files ${index + 1}`;
}
