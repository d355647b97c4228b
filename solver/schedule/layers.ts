import { BuildError, unreachable } from "../../lib/core/errors.ts";
import type { Digest } from "../../lib/core/digest.ts";
import type { SnapshotId } from "../../lib/store/model.ts";
import type { MadeLayer } from "../deps.ts";
import { isRecorded, parentInput } from "../graph/op-facts.ts";
import type { Vertex } from "../graph/vertex.ts";
import type { ImageSource, Stack } from "../ports.ts";

/** Derives the layers of a vertex that needs no work from those of its inputs. */
export async function derivedLayers(
  vertex: Vertex,
  inputs: readonly Stack[],
  images: ImageSource,
  signal: AbortSignal,
): Promise<Stack> {
  const { op } = vertex;
  switch (op.kind) {
    case "image":
      return images.stack(op, signal);
    case "merge":
      return inputs.flat();
    case "diff": {
      const [lower = [], upper = []] = inputs;
      if (lower.every((id, index) => upper[index] === id)) return upper.slice(lower.length);
      throw new BuildError(
        "solver/not-found",
        "Cannot take the difference of two trees that do not share their layers",
      );
    }
    case "exec":
    case "file":
    case "git":
    case "http":
    case "local":
      throw new Error(`The layers of a ${op.kind} vertex do not follow from its inputs`);
    default:
      return unreachable(op);
  }
}

/**
 * Removes duplicate layers: overlayfs refuses a directory that is given twice. The upper occurrence shows everything
 * that the lower one does.
 */
export function distinct(stack: Stack): Stack {
  if (new Set(stack).size === stack.length) return stack;
  return [...new Set(stack.toReversed())].toReversed();
}

/**
 * Finds the vertex behind each layer of a result, by the shape of the graph alone: every step adds one layer to its
 * parent's, and the bottom of a stage is its image. Look-ups are needed only where merges are ambiguous.
 */
export async function attributeLayers(
  target: Vertex,
  layers: Stack,
  countOf: (vertex: Vertex) => Promise<number | undefined>,
): Promise<MadeLayer[]> {
  const owners: (Digest | undefined)[] = Array.from({ length: layers.length });
  // Ranges of the stack still to be attributed: [from, to).
  const waiting: { readonly vertex: Vertex; readonly from: number; readonly to: number }[] = [
    { vertex: target, from: 0, to: layers.length },
  ];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    let { vertex, to } = next;
    for (let parent = parentOf(vertex); isRecorded(vertex.op) && to > next.from; parent = parentOf(vertex)) {
      to -= 1;
      owners[to] = vertex.digest;
      if (parent === undefined) break;
      vertex = parent;
    }
    if (isRecorded(vertex.op)) continue;
    if (vertex.op.kind === "merge") {
      const parts = await splitMerge(vertex, { from: next.from, to }, countOf);
      for (const part of parts) waiting.push(part);
    } else {
      owners.fill(vertex.digest, next.from, to);
    }
  }
  return layers.map((snapshot: SnapshotId, index) => ({ vertex: owners[index], snapshot }));
}

async function splitMerge(
  merge: Vertex,
  range: { readonly from: number; readonly to: number },
  countOf: (vertex: Vertex) => Promise<number | undefined>,
): Promise<{ vertex: Vertex; from: number; to: number }[]> {
  // From the top: COPY --link stacks one layer on everything before it, so usually only the lowest range is ambiguous.
  const parts: { vertex: Vertex; from: number; to: number }[] = [];
  let to = range.to;
  for (const [index, input] of [...merge.inputs.entries()].toReversed()) {
    const count = index === 0 ? to - range.from : (fixedCount(input) ?? (await countOf(input)));
    if (count === undefined) return parts;
    const from = Math.max(range.from, to - count);
    parts.push({ vertex: input, from, to });
    to = from;
  }
  return parts;
}

/** Counts a vertex's layers, where that needs no look at its image. */
function fixedCount(vertex: Vertex): number | undefined {
  let count = 0;
  let at: Vertex | undefined = vertex;
  while (at !== undefined && isRecorded(at.op)) {
    count += 1;
    at = parentOf(at);
  }
  return at === undefined ? count : undefined;
}

function parentOf(vertex: Vertex): Vertex | undefined {
  const input = parentInput(vertex.op);
  return input === undefined ? undefined : vertex.inputs[input];
}
