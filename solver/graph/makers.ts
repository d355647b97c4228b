import type { Digest } from "../../lib/core/digest.ts";
import { isRecorded, parentInput } from "./op-facts.ts";
import type { Vertex } from "./vertex.ts";

/**
 * Collects the steps whose own layers are in the results of the targets: not those of other stages that are only copied
 * from. Iterative: a file of ten thousand lines is a chain of that depth.
 */
export function makersOf(targets: readonly Vertex[]): ReadonlySet<Digest> {
  const makers = new Set<Digest>();
  const seen = new Set<Digest>();
  const waiting = [...targets];
  for (let vertex = waiting.pop(); vertex !== undefined; vertex = waiting.pop()) {
    if (seen.has(vertex.digest)) continue;
    seen.add(vertex.digest);
    if (isRecorded(vertex.op)) {
      makers.add(vertex.digest);
      const parent = parentInput(vertex.op);
      const below = parent === undefined ? undefined : vertex.inputs[parent];
      if (below !== undefined) waiting.push(below);
    } else if (vertex.op.kind === "merge") {
      waiting.push(...vertex.inputs);
    }
  }
  return makers;
}
