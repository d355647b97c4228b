import { encodeName } from "../native/names.ts";
import type { EntryType } from "./entry.ts";

/*
 * The digest of a layer's content: everything a container can see of its files. It is the sha256 of the format's name and one
 * text per member, in the order of a scan (directories first, names in byte order). Which times count is said in
 * docs/results.md: of a command's layer all but those within the command's own run, of other layers none.
 *
 * A member's text: type, numbers and time, a space, the sha256 of the file's bytes in hex (nothing for what has none), then path,
 * link target and count of attributes, and each attribute with its length. Every part ends in a NUL, which names cannot
 * hold; numbers before it are decimal; attribute values carry their length. The addon writes the texts of plain members.
 */

/** What counts of a file. */
export interface ContentEntry {
  /** Relative to the tree's root, no `/` at the ends. */
  readonly path: string;
  /** `whiteout` hides a path of a lower layer; `opaque` hides all that lower layers have in the directory `path`. */
  readonly type: EntryType | "whiteout" | "opaque" | "socket";
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** Target of a symlink; path of the first name of a hard-linked file. */
  readonly linkName: string;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** As `contentTime` has it. */
  readonly time: string;
  /** Sorted by name; only those for which `countsXattr` is true. */
  readonly xattrs: readonly (readonly [name: string, value: Buffer])[];
}

/** Raise when the meaning of a digest changes, so that stored ones are never matched. */
export const CONTENT_FORMAT = "content/2\n";

/** Which attributes are content: what a command may have set and a later one may see. Labels that the host's policy puts there are not. */
export function countsXattr(name: string): boolean {
  if (name === "security.capability" || name.startsWith("system.posix_acl_")) return true;
  return !/^(?:security|system)\./.test(name) && !/^(?:trusted|user)\.overlay\./.test(name);
}

/** A member's text before the digest of its bytes. */
export function contentBefore(entry: ContentEntry): Buffer {
  const mode = entry.type === "symlink" ? 0o777 : entry.mode;
  const numbers = `${mode} ${entry.uid} ${entry.gid} ${entry.size} ${entry.deviceMajor} ${entry.deviceMinor} ${entry.time}`;
  return Buffer.from(`${entry.type} ${numbers} `);
}

/** A member's text behind the digest of its bytes. */
export function contentBehind(entry: ContentEntry): Buffer {
  const names = encodeName(`\0${entry.path}\0${entry.linkName}\0${entry.xattrs.length}\0`);
  if (entry.xattrs.length === 0) return names;
  return Buffer.concat([
    names,
    ...entry.xattrs.flatMap(([name, value]) => [encodeName(`${name}\0${value.length}\0`), value]),
  ]);
}
