import { unreachable } from "../../lib/core/errors.ts";
import type { ExecOp, FileOp, GitOp, HttpOp, Op } from "./op.ts";

/*
 * Facts about each kind of op. Each function is a switch over all kinds, so a new kind compiles only when all of
 * them handle it.
 */

/** An op with a recorded result, because making it is work. */
export type RecordedOp = ExecOp | FileOp | GitOp | HttpOp;

/**
 * Tells whether results of this kind are recorded. The layers of other kinds follow from their inputs, or are files of
 * the client.
 */
export function isRecorded(op: Op): op is RecordedOp {
  switch (op.kind) {
    case "exec":
    case "file":
    case "git":
    case "http":
      return true;
    case "image":
    case "local":
    case "merge":
    case "diff":
      return false;
    default:
      return unreachable(op);
  }
}

/**
 * Tells whether a hit of this kind is a line of the display. Hidden kinds: a context has been read anyway, and a merge
 * costs nothing.
 */
export function isShownWhenCached(op: Op): boolean {
  switch (op.kind) {
    case "exec":
    case "file":
    case "git":
    case "http":
    case "image":
      return true;
    case "local":
    case "merge":
    case "diff":
      return false;
    default:
      return unreachable(op);
  }
}

/**
 * Returns the index of the input with the tree that the op changes or runs on: the op's layer lies on that input's
 * layers.
 */
export function parentInput(op: Op): number | undefined {
  switch (op.kind) {
    case "exec":
      return op.scratchRoot ? undefined : 0;
    case "file":
      return op.base === "scratch" ? undefined : 0;
    case "image":
    case "local":
    case "git":
    case "http":
    case "merge":
    case "diff":
      return undefined;
    default:
      return unreachable(op);
  }
}

/** Lists the indexes of inputs with layers that become layers of the result. */
export function layerInputs(op: Op, inputs: number): readonly number[] {
  switch (op.kind) {
    case "merge":
    case "diff":
      return Array.from({ length: inputs }, (_, input) => input);
    case "exec":
    case "file":
    case "image":
    case "local":
    case "git":
    case "http": {
      const parent = parentInput(op);
      return parent === undefined ? [] : [parent];
    }
    default:
      return unreachable(op);
  }
}

/** Returns the command that an op runs, with its network, secrets and variables. */
export function commandOf(op: Op): ExecOp | undefined {
  switch (op.kind) {
    case "exec":
      return op;
    case "file":
    case "image":
    case "local":
    case "git":
    case "http":
    case "merge":
    case "diff":
      return undefined;
    default:
      return unreachable(op);
  }
}
