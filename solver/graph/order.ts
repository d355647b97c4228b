import { Graph as Digraph } from "@dagrejs/graphlib";
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
 * Finds a cycle that named dependencies close, as the names along it (`a`, `b`, `a`): the first one on the way from the
 * first name that leads into one. `undefined` where there is none. Stages of a Dockerfile can be written in a circle before
 * they become vertices. Iterative, as above: graphlib's own findCycles recurses, and gives a component instead of a path.
 */
export function findCycle(dependencies: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const rest = new Digraph();
  for (const [name, needs] of dependencies) for (const need of needs) rest.setEdge(name, need);
  // A name that needs nothing is in no cycle, and neither is one that needs only such names.
  const free = rest.sinks();
  for (let name = free.pop(); name !== undefined; name = free.pop()) {
    const users = rest.predecessors(name) ?? [];
    rest.removeNode(name);
    free.push(...users.filter((user) => rest.successors(user)?.length === 0));
  }
  // Each name that is left needs another one that is left, so every way leads into a cycle.
  const path = new Set<string>();
  let name = [...dependencies.keys()].find((first) => rest.hasNode(first));
  while (name !== undefined && !path.has(name)) {
    path.add(name);
    [name] = rest.successors(name) ?? [];
  }
  if (name === undefined) return undefined;
  const names = [...path];
  return [...names.slice(names.indexOf(name)), name];
}
