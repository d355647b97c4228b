import { unreachable } from "../../lib/core/errors.ts";
import type { ExecOp, FileOp, GitOp, HttpOp, Op } from "./op.ts";

/*
 * Questions that several rooms ask of every kind of op. Each is a switch over all kinds, so that a new kind compiles only
 * when all of them are answered.
 */

/** An op whose result is recorded, because making it is work. */
export type RecordedOp = ExecOp | FileOp | GitOp | HttpOp;

/** Whether results of this kind are recorded. The layers of the others follow from their inputs, or are files of the client. */
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

/** Whether a hit of this kind is a line of the display: a context has been read, and a merge costs nothing. */
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

/** Index of the input whose tree the op changes or runs on: its layer lies on the layers of that input. */
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

/** The inputs, by index, whose layers are among the layers of the result. */
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

/** The command that an op runs, with its network, its secrets and its variables. */
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
