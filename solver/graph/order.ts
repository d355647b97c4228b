import { Graph as Digraph, alg } from "@dagrejs/graphlib";
import type { Vertex } from "./vertex.ts";

/**
 * Lists all vertices that the targets need, each once, inputs before their users. Iterative, because a Dockerfile of
 * ten thousand lines is a chain of that depth and graphlib's own topological sort recurses along it.
 */
export function inputsFirst(targets: readonly Vertex[]): Vertex[] {
  const order: Vertex[] = [];
  const seen = new Set<string>();
  const path: { readonly vertex: Vertex; next: number }[] = [];
  for (const target of targets) {
    if (seen.has(target.digest)) continue;
    seen.add(target.digest);
    path.push({ vertex: target, next: 0 });
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const input = top.vertex.inputs[top.next];
      top.next += 1;
      if (input === undefined) {
        order.push(top.vertex);
        path.pop();
      } else if (!seen.has(input.digest)) {
        seen.add(input.digest);
        path.push({ vertex: input, next: 0 });
      }
    }
  }
  return order;
}

/**
 * Finds a cycle in named dependencies, as the names along it (`a`, `b`, `a`), or `undefined`. It is for stages of a
 * Dockerfile, which may form a cycle before they become vertices.
 */
export function findCycle(dependencies: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const digraph = new Digraph();
  for (const [name, needs] of dependencies) for (const need of needs) digraph.setEdge(name, need);
  for (const [name, needs] of dependencies) if (needs.includes(name)) return [name, name];
  const [cycle] = alg.findCycles(digraph);
  return cycle === undefined ? undefined : [...cycle, ...cycle.slice(0, 1)];
}
