import { lstatSync, mkdirSync, readFileSync, readdirSync, realpathSync, renameSync, rmdirSync } from "node:fs";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { BuildError, errnoOf } from "../core/errors.ts";
import { AT_FDCWD } from "../native/constants.ts";
import type { Native } from "../native/native.ts";
import { usersInWords, whileNobodyOpens } from "./alone.ts";
import { guarded } from "./failure.ts";
import { requireOwnStore, STORE_NAMES } from "./ownership.ts";

/** Removes files left by an earlier, killed reset. */
const LEFTOVER = /^removed-[0-9a-f-]{36}$/;

export interface ResetOptions {
  readonly native: Native;
  readonly root: string;
  /** Text of /proc/self/mountinfo. */
  readonly mountInfo: string;
}

/**
 * Removes a store: everything that kiln keeps there, and the directory itself when nothing else is in it. A link is removed, never
 * followed, and nothing is removed while another process uses the store, or where another file system is mounted in it.
 * @returns names of others in the directory, which stay; `undefined` when there is no store
 * @throws {BuildError} `store/unusable`, `store/locked`
 */
export async function resetStore(options: ResetOptions): Promise<readonly string[] | undefined> {
  const { native, root } = options;
  const present = ownNames(root);
  if (present.length === 0) return undefined;
  requireOwnStore(root);
  refuseMounts(options);
  const doomed = join(root, `removed-${randomUUID()}`);
  guarded(`remove the store "${root}"`, () => {
    whileNobodyOpens(join(root, "running"), native, (users) => {
      refuseUsers(users, root);
      mkdirSync(doomed, { mode: 0o700 });
      // Out of the way at once: a process that opens the store from now on makes a new one.
      for (const name of present) renameSync(join(root, name), join(doomed, name));
    });
  });
  for (const name of readdirSync(root)) {
    // One after the other: the disk is the bottleneck.
    // oxlint-disable-next-line no-await-in-loop
    if (LEFTOVER.test(name)) await native.removeTree(AT_FDCWD, join(root, name));
  }
  const others = readdirSync(root).filter((name) => !STORE_NAMES.includes(name));
  if (others.length === 0) removeEmpty(root);
  return others;
}

/** Names at the top of a store that are there. @throws {BuildError} `store/unusable` for a directory that is no store */
function ownNames(root: string): readonly string[] {
  const status = lstatSync(root, { throwIfNoEntry: false });
  if (status === undefined) return [];
  const names = guarded(`remove the store "${root}"`, () => readdirSync(root));
  const own = names.filter((name) => STORE_NAMES.includes(name) || LEFTOVER.test(name));
  if (names.length === 0 || own.includes("kiln.db") || own.some((name) => LEFTOVER.test(name))) return own;
  throw new BuildError("store/unusable", `Cannot remove "${root}": it is no store of kiln's, for it has no kiln.db`, {
    hint: "is --root or KILN_ROOT what you meant?",
  });
}

function refuseMounts({ root, mountInfo }: ResetOptions): void {
  const real = realpathSync(root);
  for (const line of mountInfo.split("\n")) {
    const point = line
      .split(" ")[4]
      ?.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
    if (point?.startsWith(`${real}/`) !== true) continue;
    throw new BuildError(
      "store/unusable",
      `Cannot remove the store "${root}": something is mounted at "${point}" in it`,
      {
        hint: `unmount it first: umount ${JSON.stringify(point)}`,
      },
    );
  }
}

/** @throws {BuildError} `store/locked` when some process has the store open */
function refuseUsers(users: number, root: string): void {
  if (users === 0) return;
  throw new BuildError("store/locked", `Cannot remove the store "${root}": ${usersInWords(users)}`, {
    hint: "wait for the builds that use it, or end them",
  });
}

/** A volume that is mounted there, or a directory somebody else's directory holds, stays as an empty one. */
function removeEmpty(root: string): void {
  try {
    rmdirSync(root);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
  }
}

/** Text of /proc/self/mountinfo, empty where there is none. */
export function readMountInfo(): string {
  try {
    return readFileSync("/proc/self/mountinfo", "utf8");
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return "";
  }
}
