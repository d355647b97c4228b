import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../../lib/core/errors.ts";
import { isExhausted } from "../../lib/core/system-hints.ts";

/** Controllers that steps can be limited by. */
export type Controller = "memory" | "cpu" | "cpuset" | "pids" | "devices";
/** Those that are also in v2, where devices are the business of a program instead. */
export const CONTROLLERS: readonly Controller[] = ["memory", "cpu", "cpuset", "pids"];

/** One mounted cgroup hierarchy that has controllers of use to us. */
export interface Hierarchy {
  readonly version: 1 | 2;
  /** Host path of its top. */
  readonly path: string;
  readonly controllers: readonly Controller[];
}

/**
 * Finds the hierarchies in the text of /proc/self/mountinfo: one on a v2 machine, one per controller group on v1, and on
 * a hybrid both, the v2 one usually without controllers. Of several mounts of one hierarchy the first counts. One that is covered by
 * another mount is none: what its path leads to is no cgroup.
 */
export function findHierarchies(mountInfoText: string): Hierarchy[] {
  const found: Hierarchy[] = [];
  const mounts = mountInfoText.split("\n").map(parseMount);
  for (const mount of mounts) {
    const { path, type, options } = mount;
    if (!type.startsWith("cgroup") || isCovered(mount, mounts)) continue;
    if (type === "cgroup2" && !found.some(({ version }) => version === 2)) {
      const names = readWords(join(path, "cgroup.controllers"));
      found.push({ version: 2, path, controllers: CONTROLLERS.filter((one) => names.includes(one)) });
    }
    if (type === "cgroup") {
      const names = options.split(",");
      const controllers = [...CONTROLLERS, "devices" as const].filter((one) => names.includes(one));
      const isKnown = found.some(
        (one) => one.version === 1 && one.controllers.some((name) => controllers.includes(name)),
      );
      if (controllers.length > 0 && !isKnown) found.push({ version: 1, path, controllers });
    }
  }
  return found;
}

interface Mount {
  readonly id: string;
  readonly parent: string;
  readonly path: string;
  readonly type: string;
  readonly options: string;
}

function parseMount(line: string): Mount {
  const [before = "", after = ""] = line.split(" - ");
  const [id = "", parent = "", , , path = ""] = before.split(" ");
  const [type = "", , options = ""] = after.split(" ");
  return { id, parent, path: unescapePath(path), type, options };
}

/** Tells whether another mount lies on a mount, or on a directory above its mount point in one that it is in. */
function isCovered(mount: Mount, mounts: readonly Mount[]): boolean {
  const chain = new Set<string>();
  let below: Mount | undefined = mount;
  while (below !== undefined && !chain.has(below.id)) {
    chain.add(below.id);
    below = mountOf(below.parent, mounts);
  }
  return mounts.some(
    ({ id, parent, path }) =>
      !chain.has(id) && chain.has(parent) && `${mount.path}/`.startsWith(path === "/" ? path : `${path}/`),
  );
}

function mountOf(wanted: string, mounts: readonly Mount[]): Mount | undefined {
  return mounts.find(({ id }) => id === wanted);
}

/** mountinfo writes space, tab, newline and backslash as three octal digits. */
function unescapePath(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

/**
 * Makes a group and returns its path. On v2 each level hands its controllers down first, which the kernel allows only
 * where no process lives (the top excepted); on v1 a new cpuset is useless until it has processors and memory nodes.
 */
export function makeGroup(hierarchy: Hierarchy, names: readonly string[]): string {
  let path = hierarchy.path;
  for (const name of names) {
    if (hierarchy.version === 2) enableControllers(path, hierarchy.controllers);
    const child = join(path, name);
    mkdirSync(child, { recursive: true });
    if (hierarchy.version === 1 && hierarchy.controllers.includes("cpuset")) {
      for (const file of ["cpuset.cpus", "cpuset.mems"]) {
        if (readWords(join(child, file)).length === 0) writeFileSync(join(child, file), readFileSync(join(path, file)));
      }
    }
    path = child;
  }
  return path;
}

function enableControllers(path: string, controllers: readonly Controller[]): void {
  const enabled = readWords(join(path, "cgroup.subtree_control"));
  const missing = controllers.filter((one) => !enabled.includes(one));
  if (missing.length > 0)
    writeFileSync(join(path, "cgroup.subtree_control"), missing.map((one) => `+${one}`).join(" "));
}

/**
 * Removes groups that kilns which are gone left behind: those named `<pid>-...` of a process that no longer exists.
 * A group with processes in it cannot be removed, so one that is in use is never lost.
 */
export function removeLeftovers(directory: string): void {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return;
    throw error;
  }
  for (const name of names) {
    const pid = /^(\d+)-/.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) removeGroup(join(directory, name));
  }
}

/** Removes a group. A group with a dying last process is left for the next start to remove. */
export function removeGroup(path: string): void {
  try {
    rmdirSync(path);
  } catch (error) {
    const code = errnoOf(error);
    if (code !== "EBUSY" && code !== "ENOENT" && code !== "ENOTEMPTY") throw error;
  }
}

/** The words of a small kernel file; none when it is not there. */
export function readWords(path: string): string[] {
  try {
    return readFileSync(path, "utf8").split(/\s+/).filter(Boolean);
  } catch (error) {
    if (errnoOf(error) === undefined || isExhausted(error)) throw error;
    return [];
  }
}
