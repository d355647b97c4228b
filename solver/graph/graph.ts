import type { Digest } from "../../lib/core/digest.ts";
import type { Vertex, VertexMeta } from "./vertex.ts";

/**
 * The build graph: what the frontend hands to the solver. Vertices reach their inputs by reference; names, places and
 * cache treatment stand beside them by digest. When two stages ask for one vertex, the first one's metadata is shown.
 */
export interface Graph {
  /** What is wanted: one vertex per platform. Everything else is reached through inputs. */
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
