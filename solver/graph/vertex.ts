import { type Digest, digestOf } from "../../lib/core/digest.ts";
import type { Span } from "../../lib/core/span.ts";
import type { ExecOp, Op } from "./op.ts";

/** A node of the build graph. Two vertices with one digest are the same work, however many stages ask for it. */
export interface Vertex {
  /** Of the op and, through the inputs' digests, of everything upstream. Names the vertex in one build, and is not kept. */
  readonly digest: Digest;
  readonly op: Op;
  readonly inputs: readonly Vertex[];
}

/**
 * Makes a vertex. Pure: the same op, its members in the same order, and the same inputs give the same digest.
 *
 * @param known digests of groups of variables; who makes many vertices, most with the same variables, hands in one
 */
export function vertex(op: Op, inputs: readonly Vertex[], known: GroupDigests = new Map()): Vertex {
  let text = op.kind === "exec" ? textOf(op, known) : JSON.stringify(op);
  for (const input of inputs) text += input.digest;
  return { digest: digestOf(text), op, inputs };
}

export type GroupDigests = Map<readonly string[], Digest>;

function textOf(op: ExecOp, known: GroupDigests): string {
  const groups = op.env.map((group) => {
    let digest = known.get(group);
    if (digest === undefined) {
      digest = digestOf(JSON.stringify(group));
      known.set(group, digest);
    }
    return digest;
  });
  // Of ten thousand steps this is what takes longest, so members go without their names, and without a copy of the op.
  // The type says all of them: a new member of commands is named here, or this does not compile.
  const members: { readonly [Name in keyof Required<ExecOp>]: unknown } = {
    kind: op.kind,
    argv: op.argv,
    env: groups,
    cwd: op.cwd,
    user: op.user,
    hostname: op.hostname,
    network: op.network,
    security: op.security,
    scratchRoot: op.scratchRoot,
    mounts: op.mounts,
    shmSizeBytes: op.shmSizeBytes,
    ulimits: op.ulimits,
    extraHosts: op.extraHosts,
    cgroupParent: op.cgroupParent,
    platform: op.platform,
  };
  return JSON.stringify(Object.values(members));
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
  /** `ONBUILD of base: RUN make`, for a trigger: its text is in no file, and the span is the FROM that brought it. */
  readonly trigger?: string | undefined;
  /** `skip` for `--no-cache`: no look-up; the result is still recorded. */
  readonly cache: "use" | "skip";
  /** Names in the environment that come from ARG, so that a miss can say "ARG X changed" instead of "ENV". */
  readonly argNames: readonly string[];
}
