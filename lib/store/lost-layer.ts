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
