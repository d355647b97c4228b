/** Matches a name of a target against `*`, `?` and `[a-z]`; names have no slashes. */
export function goMatch(pattern: string, name: string): boolean {
  const source = pattern.replaceAll(/\*+|\?|\[\^?[^\]]+\]|[\s\S]/g, (part) => {
    if (part.startsWith("*")) return ".*";
    if (part === "?") return ".";
    if (part.length > 1) return part.replaceAll("\\", "\\\\");
    return part.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&");
  });
  return new RegExp(`^${source}$`, "u").test(name);
}
