import type { CopyAction, Op } from "../graph/op.ts";

/**
 * How an op looks at one of its inputs. `part` names the key part that stands for it and is unique within the op; two
 * actions that copy from one input are two uses.
 */
export type InputUse =
  /** The tree that the op changes or runs on. */
  | { readonly kind: "parent"; readonly part: string; readonly input: number }
  | { readonly kind: "copy"; readonly part: string; readonly input: number; readonly action: CopyAction }
  /** A bind mount, or what a new cache mount starts from. */
  | { readonly kind: "path"; readonly part: string; readonly input: number; readonly source: string }
  /** All of it, as one of several layers. */
  | { readonly kind: "whole"; readonly part: string; readonly input: number };

/** In a fixed order; every input that counts appears. */
export function usesOf(op: Op, inputs: number): readonly InputUse[] {
  switch (op.kind) {
    case "exec": {
      const uses: InputUse[] = op.scratchRoot ? [] : [{ kind: "parent", part: "parent", input: 0 }];
      const seen = new Map<string, number>();
      const add = (target: string, input: number, source: string): void => {
        const count = (seen.get(target) ?? 0) + 1;
        seen.set(target, count);
        // One may be mounted over another.
        const part = `files in ${target}${count === 1 ? "" : ` (${count})`}`;
        uses.push({ kind: "path", part, input, source });
      };
      for (const mount of op.mounts) {
        if (mount.type === "bind") add(mount.target, mount.input, mount.source);
        else if (mount.type === "cache" && mount.seed !== undefined) {
          add(mount.target, mount.seed.input, mount.seed.source);
        }
      }
      return uses;
    }
    case "file": {
      const uses: InputUse[] = op.base === "scratch" ? [] : [{ kind: "parent", part: "parent", input: 0 }];
      for (const [index, action] of op.actions.entries()) {
        if (action.kind !== "copy") continue;
        uses.push({ kind: "copy", part: copyPart(index), input: action.input, action });
      }
      return uses;
    }
    case "merge":
    case "diff":
      return Array.from({ length: inputs }, (_, input) => ({ kind: "whole", part: `layer ${input}`, input }));
    default:
      // Sources have no inputs.
      return [];
  }
}

/** The part that stands for what action `index` of a file op copies. */
export function copyPart(index: number): string {
  return index === 0 ? "files" : `files ${index + 1}`;
}
