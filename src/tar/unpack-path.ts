import { BuildError } from "../core/errors.ts";

/**
 * A member's path inside the target: relative, no `.`, no empty parts, `..` resolved by text. Empty for the root itself.
 * An absolute path counts from the target's root, as it does for containerd and GNU tar.
 * @throws {BuildError} `archive/unsafe-path` when `..` would climb out.
 */
export function memberPath(path: string): string {
  if (isPlain(path)) return path;
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.pop() === undefined) {
      throw new BuildError(
        "archive/unsafe-path",
        `Cannot unpack "${path.toWellFormed()}": the path leads out of the archive`,
      );
    }
  }
  return parts.join("/");
}

/** Most paths by far: letters, no dots at the start of a part, no doubled or outer slashes. */
function isPlain(path: string): boolean {
  let previous = 0x2f;
  for (let at = 0; at < path.length; at += 1) {
    const unit = path.charCodeAt(at);
    if (previous === 0x2f && (unit === 0x2f || unit === 0x2e)) return false;
    previous = unit;
  }
  return previous !== 0x2f;
}

/** `["a/b", "c"]` of `a/b/c`. The parent of a top-level name is empty. */
export function splitParent(path: string): readonly [parent: string, name: string] {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? ["", path] : [path.slice(0, slash), path.slice(slash + 1)];
}
