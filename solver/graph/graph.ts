import type { Digest } from "../../lib/core/digest.ts";
import type { Vertex, VertexMeta } from "./vertex.ts";

/**
 * The build graph, made by the frontend for the solver. Vertices reach their inputs by reference; names, places and
 * cache settings stand beside them by digest. When two stages ask for one vertex, the first one's metadata is shown.
 */
export interface Graph {
  /** Results to build: one vertex per platform. All other vertices are their inputs. */
  readonly targets: readonly Vertex[];
  readonly meta: ReadonlyMap<Digest, VertexMeta>;
}

export function metaOf(graph: Graph, vertex: Vertex): VertexMeta {
  return (
    graph.meta.get(vertex.digest) ?? {
      name: `[internal] ${vertex.op.kind}`,
      stage: undefined,
      instruction: vertex.op.kind,
      span: undefined,
      cache: "use",
      argNames: [],
    }
  );
}
