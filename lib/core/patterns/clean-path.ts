/** Go's `path.Clean`: the shortest path that means the same by its text alone. `""` is `.`; a leading `/` stays. */
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

/** Of nearly all paths, true at a glance. False also for some that are clean: those with hidden names. */
function isClean(path: string): boolean {
  return path !== "" && !path.startsWith(".") && !path.endsWith("/") && !path.includes("//") && !path.includes("/.");
}
