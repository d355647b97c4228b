import { BuildError } from "../../../lib/core/errors.ts";
import type { RunUser } from "../../ports.ts";

/** Largest valid id: the kernel reserves the next one for "no change". */
const MAX_ID = 0xffff_fffe;

/** Largest id that container engines use without a given group: they look such a user up. */
const MAX_RUN_ID = 0x7fff_ffff;

/**
 * Resolves the identity of a process. `userText` is a USER instruction's text after expansion: `""`, `name`, `uid`,
 * `name:group`, `uid:gid`. `passwd` and `group` are the contents of the tree's own /etc/passwd and /etc/group,
 * `undefined` when the tree has none. The rules are those of the container engines: a number is an id, with or without
 * an entry, even if a user or group has it as a name; the supplementary groups are those that list the user by name,
 * and none when a group was given.
 * @throws {BuildError} `runtime/failed` for an unknown name, and for an id that no engine runs
 */
export function resolveUser(userText: string, passwd: string | undefined, group: string | undefined): RunUser {
  const [userPart = "", ...rest] = userText.split(":");
  const groupPart = rest.length === 0 || rest.join(":") === "" ? undefined : rest.join(":");
  const userName = userPart === "" ? "0" : userPart;

  const numeric = toId(userName);
  const entry = parsePasswd(passwd).find((one) =>
    numeric === undefined ? one.name === userName : one.uid === numeric,
  );
  if (numeric === undefined && NUMBER.test(userName)) throw outOfRange(userName);
  if (entry === undefined && numeric === undefined) {
    throw new BuildError("runtime/failed", `Unable to find user ${userName}: no matching entries in passwd file`, {
      hint: `add the user in an earlier RUN (useradd, adduser) or give a number, as in "USER 1000:1000"`,
    });
  }
  const uid = entry?.uid ?? numeric ?? 0;
  const home = entry === undefined || entry.home === "" ? "/" : entry.home;
  const groups = parseGroup(group);

  const gid = groupPart === undefined ? (entry?.gid ?? 0) : findGroup(groupPart, groups);
  if (groupPart === undefined && (uid > MAX_RUN_ID || gid > MAX_RUN_ID)) {
    throw outOfRange(`${uid}:${gid}`, `, or give a group: "USER ${uid}:${gid}"`);
  }
  const isMember = (one: GroupEntry): boolean => entry !== undefined && one.members.includes(entry.name);
  const supplementary = groupPart === undefined ? groups.filter(isMember).map((one) => one.gid) : [];
  return { uid, gid, supplementary: [...new Set(supplementary)], home };
}

interface PasswdEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

interface GroupEntry {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

function outOfRange(user: string, instead = ""): BuildError {
  const why = `uids and gids must be in range 0-${String(MAX_RUN_ID)}`;
  return new BuildError("runtime/failed", `Cannot run as ${user}: ${why}`, { hint: `choose another number${instead}` });
}

function findGroup(group: string, entries: readonly GroupEntry[]): number {
  const gid = toId(group) ?? entries.find((entry) => entry.name === group)?.gid;
  if (gid === undefined && NUMBER.test(group)) throw outOfRange(`group ${group}`);
  if (gid === undefined) {
    throw new BuildError("runtime/failed", `Unable to find group ${group}: no matching entries in group file`, {
      hint: `add the group in an earlier RUN (groupadd, addgroup) or give a number, as in "USER 1000:1000"`,
    });
  }
  return gid;
}

/** Skips comments, blank and malformed lines, as the C library does. */
function parsePasswd(text: string | undefined): PasswdEntry[] {
  return fields(text).flatMap(([name = "", , uidText = "", gidText = "", , home = ""]) => {
    const uid = toId(uidText);
    const gid = toId(gidText);
    return name === "" || uid === undefined || gid === undefined ? [] : [{ name, uid, gid, home }];
  });
}

function parseGroup(text: string | undefined): GroupEntry[] {
  return fields(text).flatMap(([name = "", , gidText = "", members = ""]) => {
    const gid = toId(gidText);
    return name === "" || gid === undefined ? [] : [{ name, gid, members: members.split(",").filter(Boolean) }];
  });
}

function fields(text: string | undefined): string[][] {
  return (text ?? "")
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line.split(":"));
}

/** A number, with optional sign and leading zeros. */
const NUMBER = /^[+-]?\d+$/;

function toId(text: string): number | undefined {
  if (!NUMBER.test(text)) return undefined;
  const id = Number(text);
  return id >= 0 && id <= MAX_ID ? Math.abs(id) : undefined;
}
