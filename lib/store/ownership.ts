import { chmodSync, lstatSync, readdirSync, readFileSync, type Stats, statSync } from "node:fs";
import { join } from "node:path";
import { BuildError } from "../core/errors.ts";

/** Names that kiln keeps at the top of a store. Opening the store follows each of them. */
export const STORE_NAMES: readonly string[] = [
  ...["blobs", "snapshots", "cache-mounts", "logs", "leases", "running"],
  ...["runtime", "scratch", "owners", "owners-beyond", "kiln.db", "kiln.db-wal", "kiln.db-shm", "reserve", "boot"],
];
const NAMES = [...STORE_NAMES, "blobs/sha256"];

/** Mode bits that let users other than the owner create and replace names in a directory. */
const GROUP_WRITE = 0o020;
const OTHERS_WRITE = 0o002;

/** The id that the kernel shows for a user without an id in this user namespace. */
const OVERFLOW_ID = 65_534;

/**
 * Makes sure that no other user decides where the names of a store lead. Root in particular must not follow a link that
 * another user left at the store's path. A directory that is this user's, empty and open to others, as a new volume may
 * be, is closed to them. It checks some fifteen names and reads nothing.
 * @returns existing paths of the store
 * @throws {BuildError} `store/unusable`
 */
export function requireOwnStore(root: string): ReadonlySet<string> {
  const present = new Set<string>();
  const link = lstatSync(root, { throwIfNoEntry: false });
  if (link === undefined) return present;
  if (link.isSymbolicLink()) requireOwner(root, root, link, { isStrict: false });
  const status = statSync(root, { throwIfNoEntry: false });
  if (status === undefined || !status.isDirectory()) return present;
  requireOwner(root, root, status, { isStrict: false });
  const isShared = isOpenToOthers(status) && !closeEmpty(root, status);
  if (isShared && status.uid === ownId()) {
    throw refusal(root, "other users may write there", `if no other user has added anything: chmod go-w ${root}`);
  }
  for (const name of NAMES) {
    const path = join(root, name);
    const entry = lstatSync(path, { throwIfNoEntry: false });
    if (entry === undefined) continue;
    present.add(path);
    // In a directory where others can write, a user without an id here is not the store's creator.
    requireOwner(root, path, entry, { isStrict: isShared });
    if (entry.isDirectory() && isOpenToOthers(entry)) {
      throw refusal(
        root,
        `other users may write in "${path}"`,
        `if no other user has added anything: chmod go-w ${path}`,
      );
    }
  }
  return present;
}

function requireOwner(root: string, path: string, { uid }: Stats, { isStrict }: { readonly isStrict: boolean }): void {
  if (uid === ownId() || uid === 0 || (!isStrict && isWithoutId(uid))) return;
  const what = path === root ? "it belongs" : `"${path}" belongs`;
  throw refusal(root, `${what} to user ${uid}, and that user could make kiln write elsewhere`);
}

function isOpenToOthers({ mode, gid }: Stats): boolean {
  if ((mode & OTHERS_WRITE) !== 0) return true;
  if ((mode & GROUP_WRITE) === 0) return false;
  // A group of this process was meant to share the store.
  return gid !== process.getegid?.() && process.getgroups?.().includes(gid) !== true && !isWithoutId(gid);
}

/**
 * Closes an empty directory to others.
 * @returns whether only the owner may write now, and it was still empty
 */
function closeEmpty(root: string, { uid, mode }: Stats): boolean {
  const isEmpty = (): boolean => readdirSync(root).every((name) => name === "lost+found");
  if (uid !== ownId() || !isEmpty()) return false;
  chmodSync(root, mode & 0o7777 & ~(GROUP_WRITE | OTHERS_WRITE));
  // Another process may have written first.
  return isEmpty();
}

function ownId(): number {
  return process.geteuid?.() ?? 0;
}

/** Tells whether an id stands for all ids that are not mapped here: a plain user's kiln runs in a user namespace. */
function isWithoutId(id: number): boolean {
  return id === OVERFLOW_ID && !/^\s*0\s+0\s+4294967295\s*$/.test(readFileSync("/proc/self/uid_map", "latin1"));
}

function refusal(root: string, because: string, hint?: string): BuildError {
  const other = "choose a directory of yours with --root or KILN_ROOT";
  return new BuildError("store/unusable", `Cannot use the store "${root}": ${because}`, {
    hint: hint === undefined ? other : `${hint}; or ${other}`,
  });
}
