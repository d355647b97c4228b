import { expect, test } from "vitest";
import type { Digest } from "../../../lib/core/digest.ts";
import { digestOf } from "../../../lib/core/digest.ts";
import type { Op } from "../../../solver/graph/op.ts";
import { type Vertex, type VertexMeta, vertex } from "../../../solver/graph/vertex.ts";
import { layerNames } from "./layer-names.ts";

const meta = new Map<Digest, VertexMeta>();

function named(name: string, stage: string | undefined, op: Op, inputs: readonly Vertex[]): Vertex {
  const made = vertex(op, inputs);
  meta.set(made.digest, { name, stage, instruction: name, span: undefined, cache: "use", argNames: [] });
  return made;
}

const file = (path: string, base: "input" | "scratch"): Op => ({
  kind: "file",
  base,
  actions: [{ kind: "mkdir", path, mode: 0o755, owner: undefined, timestamp: undefined }],
});
const local = vertex({ kind: "local", name: "base", excludes: [] }, []);
const start = named("[internal] copy context base", undefined, file("/root", "scratch"), [local]);
const copied = named("[1/2] COPY a /", "0", file("/a", "input"), [start]);
const linked = named("[2/2] COPY --link b /", "0", file("/b", "scratch"), [local]);
const image = vertex(
  {
    kind: "image",
    ref: "docker.io/library/x:latest",
    manifest: digestOf("x"),
    platform: { os: "linux", architecture: "amd64" },
  },
  [],
);

test.each([
  { name: "nothing", tree: undefined, names: [] },
  { name: "a directory of the client's", tree: start, names: ["local source for base"] },
  { name: "a copy on it", tree: copied, names: ["local source for base", "[1/2] COPY a /"] },
  {
    name: "a linked copy",
    tree: vertex({ kind: "merge" }, [copied, linked]),
    names: ["local source for base", "[1/2] COPY a /", "[2/2] COPY --link b /"],
  },
  {
    name: "a copy on an image of two layers",
    tree: named("[2/2] COPY c /", "0", file("/c", "input"), [image]),
    names: [
      ...Array.from({ length: 2 }, () => `pulled from docker.io/library/x:latest@${digestOf("x")}`),
      "[2/2] COPY c /",
    ],
  },
])("the layers of $name have names", ({ tree, names }) => {
  expect(layerNames(tree, meta, 2)).toEqual(names);
});
