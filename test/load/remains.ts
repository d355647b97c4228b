import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { leftBehind } from "../faults/left-behind.ts";

/**
 * Lists what ended kilns left behind, one line each: processes, mounts, groups of steps, and what is half made or half
 * removed in the store.
 * @param pids of the kilns whose groups are looked for
 */
export function remainsOf(store: string, pids: readonly number[]): readonly string[] {
  const moving = ["trash", "running"].flatMap((name) => namesIn(join(store, name))).filter((name) => name !== "lock");
  const halfMade = namesIn(join(store, "snapshots")).filter((name) => /^(?:active|removed|receive)-/.test(name));
  const unfinished = [...moving, ...halfMade].map((name) => `unfinished ${name}`);
  return [...leftBehind(store), ...groupsOf(pids), ...unfinished];
}

/** Counts the files, folders and links of a store. */
export function inodesOf(directory: string): number {
  return readdirSync(directory, { recursive: true }).length;
}

function namesIn(directory: string): readonly string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}

function groupsOf(pids: readonly number[]): readonly string[] {
  const tops = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .flatMap((line) => {
      const [before = "", after = ""] = line.split(" - ");
      return after.startsWith("cgroup") ? [join(before.split(" ")[4] ?? "/", "kiln")] : [];
    });
  return tops
    .flatMap((top) => namesIn(top).map((name) => ({ name, path: join(top, name) })))
    .filter(({ name }) => pids.some((pid) => name.startsWith(`${pid}-`)))
    .map(({ path }) => `group ${path}`);
}
