/** Where an overlay's own marks live: `trusted.overlay.*` for root, `user.overlay.*` in a user namespace. */
export type Marks = "trusted" | "user";

/** Where the addon writes owners down that the kernel cannot keep (`Native.keepOwners`). No layer has or sets it. */
export const OWNER_XATTR = "user.kiln.owner";

/** A name that says "what lower layers have here is gone". OCI image-spec, layer.md. */
export const WHITEOUT_PREFIX = ".wh.";
export const OPAQUE_NAME = ".wh..wh..opq";
