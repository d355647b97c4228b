import { posix } from "node:path";
import { BuildError } from "../../lib/core/errors.ts";
import type { RunMount } from "../ports.ts";

/**
 * The mounts of a step in the order in which they are made. A mount on the path of an earlier one replaces it, in its place: the
 * step's own /dev is then below the standard /dev/pts, as it is with other builders.
 */
export class MountTable {
  readonly #mounts = new Map<string, () => void>();

  /** @param write adds the directives of the mount; called once, by `write`. */
  set(target: string, write: () => void): void {
    this.#mounts.set(target, write);
  }

  write(): void {
    for (const write of this.#mounts.values()) write();
  }
}

/** Files of /proc that a mount may cover: what they tell is often replaced by the numbers of a container. */
const COVERABLE: readonly string[] = [
  "cpuinfo",
  "diskstats",
  "meminfo",
  "stat",
  "swaps",
  "uptime",
  "loadavg",
  "slabinfo",
];

/**
 * `/a//b/../c/` is `/a/c`.
 * @throws {BuildError} `runtime/failed` for the root, for /proc, and for a /dev that the step's device nodes could not go into.
 */
export function mountTarget(mount: Pick<RunMount, "target" | "kind">): string {
  const clean = posix.join("/", mount.target).replace(/(?<=.)\/$/, "");
  if (clean === "/") throw new BuildError("runtime/failed", 'Cannot mount on "/": that is the root itself');
  const inProc = clean === "/proc" || (clean.startsWith("/proc/") && !COVERABLE.includes(clean.slice("/proc/".length)));
  if (inProc) {
    throw new BuildError("runtime/failed", `Cannot mount on ${JSON.stringify(clean)}: /proc is the kernel's`, {
      hint: "mount on another directory",
    });
  }
  if (clean === "/dev" && mount.kind !== "tmpfs") {
    throw new BuildError("runtime/failed", 'Cannot mount on "/dev": the device nodes of the step are there', {
      hint: "mount on a directory in it, such as /dev/files; only a tmpfs can take its place",
    });
  }
  return clean;
}
