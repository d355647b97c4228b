/** Go's `path.Clean`: the shortest path that means the same by its text alone. `""` is `.`; a leading `/` stays. */
export function cleanPath(path: string): string {
  if (!UNCLEAN.test(path)) return path;
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

/** An element that is empty, `.` or `..`, as nearly no path has; the emptiness before a leading `/` is none. */
const UNCLEAN = /(?:^(?!\/)|\/)\.{0,2}(?:\/|$)/;

/** Go's `path.Join`: the parts that are not empty, joined and cleaned; `""` when there are none. */
export function joinPath(...parts: readonly string[]): string {
  const filled = parts.filter((part) => part !== "");
  return filled.length === 0 ? "" : cleanPath(filled.join("/"));
}
