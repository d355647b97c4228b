import { BuildError } from "../../lib/core/errors.ts";
import type { Span } from "../../lib/core/span.ts";
import type { Owner } from "../../solver/graph/op.ts";

/** Parses `user[:group]` of --chown. An empty part is root; without a colon the group follows the user. */
export function parseOwner(text: string): Owner {
  const colon = text.indexOf(":");
  if (colon === -1) return { user: text, group: undefined };
  return { user: text.slice(0, colon), group: text.slice(colon + 1) || "0" };
}

/**
 * Parses the owner of files in a stage without any files: it has no /etc/passwd in which to look up a name.
 * @throws {BuildError} `dockerfile/instruction` for names other than `root`
 */
export function parseOwnerInEmpty(text: string, span: Span): Owner {
  const owner = parseOwner(text);
  const name = [owner.user, owner.group ?? ""].find((part) => !isIdOrRoot(part));
  if (name === undefined) return owner;
  throw new BuildError(
    "dockerfile/instruction",
    `Cannot look up the owner ${JSON.stringify(name)}: this stage is empty and has no /etc/passwd`,
    { span, hint: "give numbers, as in 1000:1000, or take an image with that user as base" },
  );
}

/** Tells whether a text needs no lookup. A number out of range for an id is looked up as a name, as with BuildKit. */
function isIdOrRoot(text: string): boolean {
  return text === "" || text === "root" || (/^\d{1,10}$/.test(text) && Number(text) <= 0x7fff_ffff);
}
