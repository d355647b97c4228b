/**
 * Cleans a path as Go's `path.Clean` does: returns the shortest path with the same meaning by its text alone. `""`
 * becomes `.`; a leading `/` stays.
 */
export function cleanPath(path: string): string {
  if (isClean(path)) return path;
  const isAbsolute = path.startsWith("/");
  const kept: string[] = [];
  for (const name of path.split("/")) {
    if (name === "" || name === ".") continue;
    if (name !== "..") kept.push(name);
    else if (kept.length > 0 && kept.at(-1) !== "..") kept.pop();
    else if (!isAbsolute) kept.push("..");
  }
  if (isAbsolute) return `/${kept.join("/")}`;
  return kept.length === 0 ? "." : kept.join("/");
}

/** Tells quickly that a path is clean. False also for some clean ones: those with hidden names. */
function isClean(path: string): boolean {
  return path !== "" && !path.startsWith(".") && !path.endsWith("/") && !path.includes("//") && !path.includes("/.");
}
