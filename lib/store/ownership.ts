import { chmodSync, lstatSync, readdirSync, readFileSync, type Stats, statSync } from "node:fs";
import { join } from "node:path";
import { BuildError } from "../core/errors.ts";

/** Names that kiln keeps at the top of a store. Opening one follows it wherever it leads. */
const NAMES = [
  ...["blobs", "blobs/sha256", "snapshots", "cache-mounts", "logs", "leases", "running"],
  ...["runtime", "scratch", "owners", "kiln.db", "kiln.db-wal", "kiln.db-shm", "reserve", "boot"],
];

/** Bits of a mode with which others than the owner may make and replace names in a directory. */
const GROUP_WRITE = 0o020;
const OTHERS_WRITE = 0o002;

/** The id that the kernel shows instead of a user that has none in this user namespace. */
const OVERFLOW_ID = 65_534;

/**
 * Makes sure that nobody else decides where the names of a store lead. Root in particular must not follow a link that
 * another user has left where the store is to be. A directory that is this user's, empty and open to others, as a new volume may
 * be, is closed to them. Some fifteen looks at names; nothing is read.
 * @returns paths of the store that are there.
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
    // In a directory that others can write in, a user without an id here is not the one who made the store.
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
  // A group that this process is in was meant to share the store.
  return gid !== process.getegid?.() && process.getgroups?.().includes(gid) !== true && !isWithoutId(gid);
}

/** @returns whether nobody but the owner may write now, and nothing had been put there. */
function closeEmpty(root: string, { uid, mode }: Stats): boolean {
  const isEmpty = (): boolean => readdirSync(root).every((name) => name === "lost+found");
  if (uid !== ownId() || !isEmpty()) return false;
  chmodSync(root, mode & 0o7777 & ~(GROUP_WRITE | OTHERS_WRITE));
  // Somebody may have been faster.
  return isEmpty();
}

function ownId(): number {
  return process.geteuid?.() ?? 0;
}

/** Whether an id stands for all that are not mapped here: a plain user's kiln runs in a user namespace. */
function isWithoutId(id: number): boolean {
  return id === OVERFLOW_ID && !/^\s*0\s+0\s+4294967295\s*$/.test(readFileSync("/proc/self/uid_map", "latin1"));
}

function refusal(root: string, because: string, hint?: string): BuildError {
  const other = "choose a directory of yours with --root or KILN_ROOT";
  return new BuildError("store/unusable", `Cannot use the store "${root}": ${because}`, {
    hint: hint === undefined ? other : `${hint}; or ${other}`,
  });
}
