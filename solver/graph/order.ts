import { Graph as Digraph, alg } from "@dagrejs/graphlib";
import type { Vertex } from "./vertex.ts";

/** All vertices that the targets need, each once, inputs before their users. */
export function inputsFirst(targets: readonly Vertex[]): Vertex[] {
  const found = new Map<string, Vertex>();
  const digraph = new Digraph();
  const waiting = [...targets];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (found.has(next.digest)) continue;
    found.set(next.digest, next);
    digraph.setNode(next.digest);
    for (const input of next.inputs) {
      digraph.setEdge(input.digest, next.digest);
      waiting.push(input);
    }
  }
  // A vertex holds its inputs by reference and is immutable, so there is no cycle for topsort to refuse.
  return alg.topsort(digraph).flatMap((digest) => found.get(digest) ?? []);
}

/**
 * The cycle that a set of named dependencies closes, as the names along it (`a`, `b`, `a`), or `undefined`.
 * For stages of a Dockerfile, which can be written in a circle before they become vertices.
 */
export function findCycle(dependencies: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const digraph = new Digraph();
  for (const [name, needs] of dependencies) for (const need of needs) digraph.setEdge(name, need);
  for (const [name, needs] of dependencies) if (needs.includes(name)) return [name, name];
  const [cycle] = alg.findCycles(digraph);
  return cycle === undefined ? undefined : [...cycle, ...cycle.slice(0, 1)];
}
