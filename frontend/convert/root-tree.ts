import type { Vertex } from "../../solver/graph/vertex.ts";
import { plainCopy } from "../../solver/graph/plain-copy.ts";
import { isClientTree } from "./sources.ts";
import type { Shared, StageState } from "./stage-state.ts";
import { addInternal } from "./step.ts";

/**
 * Makes a tree the root of a stage or of the image. A client directory (`--build-context base=./root` and `FROM base`)
 * has no layer, so its files are copied into one. Every other tree is a root as it is.
 */
export function asRoot(tree: Vertex | undefined, { planned }: StageState, shared: Shared): Vertex | undefined {
  if (tree?.op.kind !== "local") return tree;
  const action = plainCopy({ input: 0, source: ".", destination: "/", keepOwner: !isClientTree(tree) });
  const op = { kind: "file", base: "scratch", actions: [action] } as const;
  return addInternal(shared, { op, inputs: [tree] }, `copy context ${tree.op.name}`, planned.span);
}
