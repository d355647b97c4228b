/** Where an overlay's own marks live: `trusted.overlay.*` for root, `user.overlay.*` in a user namespace. */
export type Marks = "trusted" | "user";

/** The attributes in which the addon keeps what the kernel cannot (`Native.keepOwners`). No layer has or sets them. */
export const RECORD_XATTRS: ReadonlySet<string> = new Set([
  "user.kiln.owner",
  "user.kiln.acl",
  "user.kiln.acl-default",
]);

/** A name that says "what lower layers have here is gone". OCI image-spec, layer.md. */
export const WHITEOUT_PREFIX = ".wh.";
export const OPAQUE_NAME = ".wh..wh..opq";
