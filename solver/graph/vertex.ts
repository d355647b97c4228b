import { type Digest, digestOf } from "../../src/core/digest.ts";
import type { Span } from "../../src/core/span.ts";
import type { Op } from "./op.ts";

/** A node of the build graph. Two vertices with one digest are the same work, however many stages ask for it. */
export interface Vertex {
  /** Of the op and, through the inputs' digests, of everything upstream. Names the vertex in one build, and is not kept. */
  readonly digest: Digest;
  readonly op: Op;
  readonly inputs: readonly Vertex[];
}

/** Makes a vertex. Pure: the same op, its members in the same order, and the same inputs give the same digest. */
export function vertex(op: Op, inputs: readonly Vertex[]): Vertex {
  let text = textOf(op);
  for (const input of inputs) text += input.digest;
  return { digest: digestOf(text), op, inputs };
}

function textOf(op: Op): string {
  if (op.kind !== "exec") return JSON.stringify(op);
  return JSON.stringify({ ...op, env: op.env.map(digestOfGroup) });
}

function digestOfGroup(group: readonly string[]): Digest {
  let digest = groupDigests.get(group);
  if (digest === undefined) {
    digest = digestOf(JSON.stringify(group));
    groupDigests.set(group, digest);
  }
  return digest;
}

/** Thousands of commands share their groups. */
const groupDigests = new WeakMap<readonly string[], Digest>();

/** What people see of a vertex, and how it is to be treated in this build. Never part of the digest. */
export interface VertexMeta {
  /** `[build 2/5] RUN make`. */
  readonly name: string;
  /** The stage's name or number as text; `undefined` for internal work. */
  readonly stage: string | undefined;
  /** The instruction as in the file with its variables filled in, `RUN make`: with the stage, what finds its earlier records. */
  readonly instruction: string;
  readonly span: Span | undefined;
  /** `skip` for `--no-cache`: no look-up; the result is still recorded. */
  readonly cache: "use" | "skip";
  /** Names in the environment that come from ARG, so that a miss can say "ARG X changed" instead of "ENV". */
  readonly argNames: readonly string[];
}
