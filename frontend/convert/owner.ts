import type { Owner } from "../../solver/graph/op.ts";

/** `user[:group]`, as in --chown and USER. Either part may be empty, which leaves it as it would be without. */
export function parseOwner(text: string): Owner {
  const colon = text.indexOf(":");
  if (colon === -1) return { user: text, group: undefined };
  return { user: text.slice(0, colon), group: text.slice(colon + 1) || undefined };
}
