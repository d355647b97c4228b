import { chmodSync, mkdirSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../../../lib/core/errors.ts";
import type { ExecOp } from "../../graph/op.ts";

/** Directories that container runtimes mount over in every container. */
const MOUNT_POINTS: readonly string[] = ["/dev", "/proc", "/sys"];

/**
 * Lists the mount points that a command leaves behind. One with a mount of the command's own below it counts as made
 * for that mount: the other builders remove it with the mount.
 */
export function mountPointsOf(op: Pick<ExecOp, "mounts">): readonly string[] {
  return MOUNT_POINTS.filter((point) => !op.mounts.some(({ target }) => target?.startsWith(`${point}/`)));
}

/**
 * Makes the directories of {@link mountPointsOf} in the layer of a command. Every other builder leaves them with the
 * first RUN of an image without them, and runtimes that mount on a read-only root need them. They are dated 1970, so
 * that a command without changes gives the same layer every time.
 */
export function leaveMountPoints(layer: string, missing: readonly string[]): void {
  for (const point of missing) {
    const path = join(layer, point);
    try {
      mkdirSync(path);
    } catch (error) {
      // The command made something there itself, before or below a mount.
      if (errnoOf(error) === "EEXIST") continue;
      throw error;
    }
    chmodSync(path, 0o755);
    utimesSync(path, 0, 0);
  }
}
