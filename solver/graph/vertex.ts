import { type Digest, digestOf } from "../../lib/core/digest.ts";
import type { Span } from "../../lib/core/span.ts";
import type { ExecOp, Op } from "./op.ts";

/** A node of the build graph. Two vertices with one digest are the same work, however many stages ask for it. */
export interface Vertex {
  /**
   * Digest of the op and, through the inputs' digests, of everything upstream. It names the vertex within one build,
   * and is not stored.
   */
  readonly digest: Digest;
  readonly op: Op;
  readonly inputs: readonly Vertex[];
}

/**
 * Makes a vertex. Pure: the same op, with its members in the same order, and the same inputs give the same digest.
 *
 * @param known digests of groups of variables; share one map to make many vertices with the same variables
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
  // This is the slowest part of a build graph with ten thousand instructions, so members are written without their
  // names and without a copy of the op. The type lists all of them: a new member of commands must be named here, or
  // this does not compile.
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

/** Display texts of a vertex, and its treatment in this build. Never part of the digest. */
export interface VertexMeta {
  /** `[build 2/5] RUN make`. */
  readonly name: string;
  /** The stage's name or number as text; `undefined` for internal work. */
  readonly stage: string | undefined;
  /**
   * The instruction as in the file with its variables filled in, `RUN make`. Stage and instruction find its earlier
   * records.
   */
  readonly instruction: string;
  readonly span: Span | undefined;
  /**
   * `ONBUILD of base: RUN make`, for a trigger: its text is in no file of the user, and the span is the FROM that
   * brought it.
   */
  readonly trigger?: string | undefined;
  /** `skip` for `--no-cache`: no look-up; the result is still recorded. */
  readonly cache: "use" | "skip";
  /** Names of environment variables that come from ARG, so that a miss can say "ARG X changed" instead of "ENV". */
  readonly argNames: readonly string[];
}
