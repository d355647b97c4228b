import { type Digest, hexOf } from "../core/digest.ts";
import { BuildError } from "../core/errors.ts";
import type { SnapshotId } from "./model.ts";

/** A layer could not be fetched, or is not what its digests say. The error behind it, and which layer it is about. */
export class LostLayerError extends BuildError {
  readonly layer: SnapshotId;

  constructor(layer: SnapshotId, error: BuildError) {
    const { span, hint, detail, more } = error;
    super(error.code, error.message, { span, hint, detail, more, cause: error });
    this.layer = layer;
  }
}

/** Names a layer that a step made on another machine. */
export function builtId(diffId: Digest): SnapshotId {
  return `built-${hexOf(diffId)}` as SnapshotId;
}
