import { isOverlayMark } from "./overlay-marks.ts";

/*
 * Rules for extended attributes: those that a copy carries along, and those that a command sees. Exactly these count
 * in keys.
 */

/**
 * Tells whether a copy of a file gets an attribute: a user's own, access control lists, and file capabilities, except,
 * as with docker, the capabilities of a client's files. Attributes of the host's security modules and file systems are
 * not copied.
 * @param owners ownership of the tree with the file, see `SourceViewOptions`
 */
export function isCarriedAttribute(name: string, owners: "root" | "kept"): boolean {
  if (name === "security.capability") return owners === "kept";
  return (name.startsWith("user.") && !isOverlayMark(name)) || isAccessList(name);
}

/** Tells whether an attribute counts in the key of a command that sees the file in place. */
export function isSeenAttribute(name: string): boolean {
  return isCarriedAttribute(name, "kept") || (name.startsWith("trusted.") && !isOverlayMark(name));
}

function isAccessList(name: string): boolean {
  return name === "system.posix_acl_access" || name === "system.posix_acl_default";
}
