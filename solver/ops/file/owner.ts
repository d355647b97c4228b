import type { Owner } from "../../graph/op.ts";

/** Size limit for an image's passwd or group file, as in BuildKit. */
export const MAX_ACCOUNTS_BYTES = 10 * 1024 * 1024;

/** Numeric owner of files. */
export interface Ids {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Turns `--chown` into numbers, with the text of the destination's /etc/passwd and /etc/group. A name brings its
 * primary group, a bare number itself as the group. An unknown name becomes 0, as in BuildKit (its documentation says
 * that the build fails; it does not). The files are read only when a name has to be looked up.
 */
export function resolveOwner(
  owner: Owner,
  read: { readonly passwd: () => string | undefined; readonly group: () => string | undefined },
  unknown: UnknownOwners,
): Ids {
  let uid = 0;
  let gid = 0;
  const number = parseId(owner.user);
  if (number !== undefined) {
    uid = number;
    gid = number;
  } else if (owner.user !== "") {
    const fields = findRecord(read.passwd(), owner.user, 4);
    if (fields === undefined) unknown.note("user", owner.user);
    uid = parseId(fields?.[2] ?? "") ?? 0;
    gid = parseId(fields?.[3] ?? "") ?? 0;
  }
  if (owner.group === undefined || owner.group === "") return { uid, gid };
  const group = parseId(owner.group);
  if (group !== undefined) return { uid, gid: group };
  const record = findRecord(read.group(), owner.group, 3);
  if (record === undefined) unknown.note("group", owner.group);
  return { uid, gid: parseId(record?.[2] ?? "") ?? gid };
}

/** Names in an instruction's --chown that the tree's account files lack. */
export class UnknownOwners {
  readonly #names = new Map<string, { readonly kind: "user" | "group"; readonly name: string }>();

  get size(): number {
    return this.#names.size;
  }

  note(kind: "user" | "group", name: string): void {
    this.#names.set(`${kind} ${name}`, { kind, name });
  }

  tell(warn: ((message: string, hint: string) => void) | undefined): void {
    for (const { kind, name } of this.#names.values()) {
      const [file, command] = kind === "user" ? ["/etc/passwd", "useradd"] : ["/etc/group", "groupadd"];
      warn?.(
        `the image's ${file} has no ${kind} ${JSON.stringify(name)}, and ${kind === "user" ? "root owns the files" : "the files get the user's group, or root's"}`,
        `make the ${kind} in a line before, as with RUN ${command}, or give a number`,
      );
    }
  }
}

/** Tells whether a look-up in passwd or group decides the result, so that these files belong to the step's key. */
export function needsLookup(owner: Owner): { readonly passwd: boolean; readonly group: boolean } {
  return {
    passwd: owner.user !== "" && parseId(owner.user) === undefined,
    group: owner.group !== undefined && owner.group !== "" && parseId(owner.group) === undefined,
  };
}

/** Parses an id. `root` is 0 even in an image without /etc/passwd. */
function parseId(text: string): number | undefined {
  if (text === "root") return 0;
  if (!/^\d{1,10}$/.test(text)) return undefined;
  const id = Number(text);
  return id <= 0x7fff_ffff ? id : undefined;
}

/** Returns the fields of the first line that starts with the name; passwd(5), group(5). */
function findRecord(text: string | undefined, name: string, minFields: number): readonly string[] | undefined {
  if (text === undefined) return undefined;
  for (const line of text.split("\n")) {
    const fields = line.trim().split(":");
    if (fields[0] === name && fields.length >= minFields) return fields;
  }
  return undefined;
}
