/** Namespace of an overlay's own marks: `trusted.overlay.*` for root, `user.overlay.*` in a user namespace. */
export type Marks = "trusted" | "user";

/**
 * The attributes with which the addon records owners that the kernel cannot keep (`Native.keepOwners`). No layer has or
 * sets them.
 */
export const RECORD_XATTRS: ReadonlySet<string> = new Set([
  "user.kiln.owner",
  "user.kiln.acl",
  "user.kiln.acl-default",
]);

/** Prefix of a name that marks the deletion of lower layers' files. OCI image-spec, layer.md. */
export const WHITEOUT_PREFIX = ".wh.";
export const OPAQUE_NAME = ".wh..wh..opq";
