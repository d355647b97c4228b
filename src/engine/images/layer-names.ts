import type { Digest } from "../../../lib/core/digest.ts";
import { unreachable } from "../../../lib/core/errors.ts";
import { parentInput } from "../../../solver/graph/op-facts.ts";
import type { Vertex, VertexMeta } from "../../../solver/graph/vertex.ts";

/**
 * Names the maker of each layer of a tree, lowest first, in the words of BuildKit's history for a layer without an
 * instruction. `baseLayers` is the number of an image's layers.
 */
export function layerNames(
  tree: Vertex | undefined,
  meta: ReadonlyMap<Digest, VertexMeta>,
  baseLayers: number,
): readonly string[] {
  // Highest first. A loop, because a chain may have thousands of steps.
  const names: string[] = [];
  const waiting = tree === undefined ? [] : [tree];
  for (let vertex = waiting.pop(); vertex !== undefined; vertex = waiting.pop()) {
    const { op, inputs } = vertex;
    switch (op.kind) {
      case "image":
        names.push(...Array.from({ length: baseLayers }, () => `pulled from ${op.ref}@${op.manifest}`));
        break;
      case "merge":
        waiting.push(...inputs);
        break;
      case "exec":
      case "file":
      case "git":
      case "http":
      case "local":
      case "diff": {
        names.push(nameOf(vertex, meta));
        const parent = parentInput(op);
        waiting.push(...(parent === undefined ? [] : inputs.slice(parent, parent + 1)));
        break;
      }
      default:
        unreachable(op);
    }
  }
  return names.toReversed();
}

function nameOf(vertex: Vertex, meta: ReadonlyMap<Digest, VertexMeta>): string {
  const { op } = vertex;
  const known = meta.get(vertex.digest);
  if (op.kind === "exec") return `mount / from exec ${op.argv.join(" ")}`;
  // A directory that a stage starts from: no instruction copies it.
  const local = vertex.inputs.find((input) => input.op.kind === "local")?.op;
  if (known?.stage === undefined && local?.kind === "local") return `local source for ${local.name}`;
  return known?.name ?? "layer";
}
