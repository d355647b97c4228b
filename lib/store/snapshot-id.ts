import { type Digest, hexOf } from "../core/digest.ts";
import { type Shape, such } from "../core/shape.ts";
import type { SnapshotId } from "./model.ts";

const PATTERN = /^[A-Za-z0-9-]+$/;

/** Tells whether a text can name a snapshot. The id is a name in a directory, so a path that leads out of it is none. */
function isSnapshotId(text: unknown): text is SnapshotId {
  return typeof text === "string" && PATTERN.test(text);
}

export const snapshotIdShape: Shape<SnapshotId> = such("a snapshot's id", isSnapshotId);

/** Brands an id that this process made or read from a directory's name. */
export function snapshotId(text: string): SnapshotId {
  if (!isSnapshotId(text)) throw new Error(`${JSON.stringify(text)} cannot name a snapshot`);
  return text;
}

/**
 * The way that a snapshot's files came here: in a layer of an image; in the tar of a step's result, which was made on another machine or
 * written as a tar; or by a step of this machine, into a directory.
 */
export type SnapshotOrigin = "image" | "tar" | "step";

const PREFIXES = { image: "layer-", tar: "built-" } as const;

/** Tells it by the id alone. Only files that a step made are known without a tar, which tells their exact bytes. */
export function originOf(id: string): SnapshotOrigin {
  return id.startsWith(PREFIXES.image) ? "image" : id.startsWith(PREFIXES.tar) ? "tar" : "step";
}

/** Names a layer of an image, so that images that share it share its directory. */
export function layerId(diffId: Digest): SnapshotId {
  return snapshotId(`${PREFIXES.image}${hexOf(diffId)}`);
}

/** Names a built layer that is known by its diffID: made on another machine, or written as a tar. */
export function builtLayerId(diffId: Digest): SnapshotId {
  return snapshotId(`${PREFIXES.tar}${hexOf(diffId)}`);
}
