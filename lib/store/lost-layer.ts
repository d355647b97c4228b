import { type Digest, hexOf } from "../core/digest.ts";
import { BuildError } from "../core/errors.ts";
import type { SnapshotId } from "./model.ts";

/**
 * An error for a layer that could not be fetched or does not match its digests. It has the underlying error and the
 * layer.
 */
export class LostLayerError extends BuildError {
  readonly layer: SnapshotId;

  constructor(layer: SnapshotId, error: BuildError) {
    const { span, hint, detail, more } = error;
    super(error.code, error.message, { span, hint, detail, more, cause: error });
    this.layer = layer;
  }
}

/** Returns the id of a built layer that is known by its diffID: made on another machine, or written as a tar. */
export function builtLayerId(diffId: Digest): SnapshotId {
  return `built-${hexOf(diffId)}` as SnapshotId;
}
