import { type Digest, hexOf } from "../core/digest.ts";
import { type Shape, such } from "../core/shape.ts";
import type { SnapshotId } from "./model.ts";

const PATTERN = /^[A-Za-z0-9-]+$/;

/** Whether a text can name a snapshot. The id is a name in a directory, so nothing that leads out of it is one. */
function isSnapshotId(text: unknown): text is SnapshotId {
  return typeof text === "string" && PATTERN.test(text);
}

export const snapshotIdShape: Shape<SnapshotId> = such("a snapshot's id", isSnapshotId);

/** Brands an id that this process made or read from a directory's name. */
export function snapshotId(text: string): SnapshotId {
  if (!isSnapshotId(text)) throw new Error(`${JSON.stringify(text)} cannot name a snapshot`);
  return text;
}

/** Names a layer of an image, so that images that share it share its directory. */
export function layerId(diffId: Digest): SnapshotId {
  return snapshotId(`layer-${hexOf(diffId)}`);
}

/** Names a built layer that is known by its diffID: made on another machine, or written as a tar. */
export function builtLayerId(diffId: Digest): SnapshotId {
  return snapshotId(`built-${hexOf(diffId)}`);
}
