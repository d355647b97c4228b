import { BuildError } from "../core/errors.ts";

/** PATH_MAX of linux/limits.h, without the NUL. Names have at least as many bytes as UTF-16 code units. */
const MAX_PATH = 4095;

/**
 * Normalises a member's path inside the target: relative, no `.`, no empty parts, `..` resolved by text. Empty for the
 * root itself. An absolute path counts from the target's root, as for containerd and GNU tar.
 * @throws {BuildError} `archive/unsafe-path` when `..` would climb out; `archive/malformed` for an impossible path
 */
export function memberPath(path: string): string {
  if (path.length > MAX_PATH) throw noPath(path, `it is longer than ${MAX_PATH} bytes`);
  if (isPlain(path)) return path;
  if (path.includes("\0")) throw noPath(path, "a path cannot hold a NUL byte");
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

/** Resolves a symlink in the directory `parent`, in the same form. As for the kernel, nothing is above the root. */
export function linkedPath(parent: string, target: string): string {
  const parts: string[] = [];
  for (const part of (target.startsWith("/") ? target : `${parent}/${target}`).split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts.join("/");
}

function noPath(path: string, why: string): BuildError {
  const shown = path.length > 100 ? `${path.slice(0, 100)}...` : path;
  return new BuildError("archive/malformed", `Cannot unpack ${JSON.stringify(shown.toWellFormed())}: ${why}`);
}

/** Recognises most paths: letters, no dots at the start of a part, no doubled or outer slashes. */
function isPlain(path: string): boolean {
  let previous = 0x2f;
  for (let at = 0; at < path.length; at += 1) {
    const unit = path.charCodeAt(at);
    if (unit === 0 || (previous === 0x2f && (unit === 0x2f || unit === 0x2e))) return false;
    previous = unit;
  }
  return previous !== 0x2f;
}

/** Splits `a/b/c` into `["a/b", "c"]`. The parent of a top-level name is empty. */
export function splitParent(path: string): readonly [parent: string, name: string] {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? ["", path] : [path.slice(0, slash), path.slice(slash + 1)];
}
