import { isOverlayMark } from "./overlay-marks.ts";

/*
 * Extended attributes: what a copy brings along, and what a command sees. Whatever is brought or seen counts in keys, and
 * nothing else does.
 */

/**
 * Whether a copy of a file gets an attribute: a user's own, access control lists, and file capabilities, but for those of a client's files,
 * as with docker. What the host's security modules and file systems say of a file stays where it is.
 * @param owners of the tree that the file is in, see `SourceViewOptions`
 */
export function isCarriedAttribute(name: string, owners: "root" | "kept"): boolean {
  if (name === "security.capability") return owners === "kept";
  return (name.startsWith("user.") && !isOverlayMark(name)) || isAccessList(name);
}

/** Whether an attribute counts of a file that a command sees where it is. */
export function isSeenAttribute(name: string): boolean {
  return isCarriedAttribute(name, "kept") || (name.startsWith("trusted.") && !isOverlayMark(name));
}

function isAccessList(name: string): boolean {
  return name === "system.posix_acl_access" || name === "system.posix_acl_default";
}
