import { unreachable } from "../../lib/core/errors.ts";
import type { Platform } from "../../lib/core/platform.ts";
import { type Vertex, vertex } from "../../solver/graph/vertex.ts";
import { plainCopy } from "../../solver/graph/plain-copy.ts";
import type { ContextSource, ResolvedBase } from "./resolver.ts";

/** Makes the tree of a context; `undefined` is the empty one. */
export function sourceVertex(source: ContextSource, platform: Platform): Vertex | undefined {
  switch (source.kind) {
    case "local":
      return vertex(
        {
          kind: "local",
          name: source.name,
          excludes: source.excludes,
          ...(source.owners === undefined ? {} : { owners: source.owners }),
          ...(source.uniformTime === undefined ? {} : { uniformTime: source.uniformTime }),
        },
        [],
      );
    case "image":
      return imageVertex(source, platform);
    case "git":
      return vertex(source, []);
    case "http":
      return unpackedVertex(vertex(source, []), source.filename);
    case "scratch":
      return undefined;
    default:
      return unreachable(source);
  }
}

/** Makes the vertex of an image; `undefined` for one without layers, which equals scratch. */
export function imageVertex(image: ResolvedBase, platform: Platform): Vertex | undefined {
  const { config } = image;
  // Configs converted from the oldest manifests list no diffIDs even with layers, but their history shows them.
  const hasLayers = config.rootfs.diff_ids.length > 0 || config.history.some((entry) => entry.empty_layer !== true);
  if (!hasLayers) return undefined;
  return vertex({ kind: "image", ref: image.ref, manifest: image.manifest, platform }, []);
}

/** Unpacks an archive from the network that serves as a context. */
function unpackedVertex(archive: Vertex, filename: string): Vertex {
  return vertex(
    {
      kind: "file",
      base: "scratch",
      actions: [plainCopy({ input: 0, source: filename, destination: "/", unpack: "auto" })],
    },
    [archive],
  );
}

/** Tells whether a tree's files come from the client, without owners of their own: they become 0:0 in the image. */
export function isClientTree(tree: Vertex): boolean {
  return tree.op.kind === "local" && tree.op.owners === undefined;
}
