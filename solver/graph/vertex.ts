import { type Digest, digestOf } from "../../src/core/digest.ts";
import { canonicalJson } from "../../src/core/json.ts";
import type { Span } from "../../src/core/span.ts";
import type { Op } from "./op.ts";

/** A node of the build graph. Two vertices with one digest are the same work, however many stages ask for it. */
export interface Vertex {
  /** Of the canonical op and, through the inputs' digests, of everything upstream. */
  readonly digest: Digest;
  readonly op: Op;
  readonly inputs: readonly Vertex[];
}

/** Makes a vertex. Pure: the same op and inputs give the same digest on every machine. */
export function vertex(op: Op, inputs: readonly Vertex[]): Vertex {
  return { digest: digestOf(canonicalJson([op, inputs.map((input) => input.digest)])), op, inputs };
}

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
