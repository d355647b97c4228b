import { chmodSync, mkdirSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../../../lib/core/errors.ts";
import type { ExecOp } from "../../graph/op.ts";

/** What container runtimes mount on in every container. */
const MOUNT_POINTS: readonly string[] = ["/dev", "/proc", "/sys"];

/**
 * Those that a command leaves behind. One that a mount of the command's own is below counts as made for that mount: the
 * other builders take it away again with the mount.
 */
export function mountPointsOf(op: Pick<ExecOp, "mounts">): readonly string[] {
  return MOUNT_POINTS.filter((point) => !op.mounts.some(({ target }) => target?.startsWith(`${point}/`)));
}

/**
 * Makes directories of {@link mountPointsOf} in the layer that a command has written to. Images without them get them with their
 * first RUN from every other builder, and there are runtimes that mount on a read-only root and need them.
 * They are dated 1970, so that a command that changes nothing gives the same layer every time.
 */
export function leaveMountPoints(layer: string, missing: readonly string[]): void {
  for (const point of missing) {
    const path = join(layer, point);
    try {
      mkdirSync(path);
    } catch (error) {
      // The command has put something there itself, before or below a mount.
      if (errnoOf(error) === "EEXIST") continue;
      throw error;
    }
    chmodSync(path, 0o755);
    utimesSync(path, 0, 0);
  }
}
