import { callFailure } from "./args.ts";

/** Makes a pattern of Go's syntax: named groups are `(?P<name>`, and flags stand in front. */
export function goPattern(pattern: string, flags: string): RegExp {
  const [whole = "", inline = ""] = /^\(\?([imsU]+)\)/.exec(pattern) ?? [];
  const body = pattern.slice(whole.length).replaceAll("(?P<", "(?<").replaceAll("\\z", "$").replace(/^\\A/, "^");
  const names: Readonly<Record<string, string>> = {
    "[[:alpha:]]": "[A-Za-z]",
    "[[:digit:]]": "[0-9]",
    "[[:alnum:]]": "[0-9A-Za-z]",
    "[[:space:]]": "\\s",
    "[[:upper:]]": "[A-Z]",
    "[[:lower:]]": "[a-z]",
  };
  const classes = body
    .replaceAll(/\[\[:[a-z]+:\]\]/g, (name) => names[name] ?? name)
    .replaceAll("[:alnum:]", "0-9A-Za-z")
    .replaceAll("[:alpha:]", "A-Za-z")
    .replaceAll("[:digit:]", "0-9");
  if (/\(\?<?[=!]|\\[1-9]/.test(classes))
    throw callFailure("the pattern looks around or refers back, which Go's cannot");
  try {
    return new RegExp(classes, `${flags}${inline.replace("U", "")}`);
  } catch (error) {
    if (error instanceof SyntaxError) throw callFailure(`this is no pattern: ${error.message}`);
    throw error;
  }
}

/** Replaces as Go does: `$1`, `$name` and `${name}` stand for groups, `$$` for a dollar. */
export function goReplacement(template: string): (...match: readonly unknown[]) => string {
  return (...match) => {
    const last = match.at(-1);
    const named =
      typeof last === "object" && last !== null ? new Map<string, unknown>(Object.entries(last)) : undefined;
    return template.replaceAll(/\$(?:\$|(\w+)|\{(\w+)\})/g, (whole: string, bare?: string, braced?: string) => {
      const name = bare ?? braced;
      if (name === undefined) return whole === "$$" ? "$" : whole;
      const found = /^\d+$/.test(name) ? groupAt(match, Number(name), named !== undefined) : named?.get(name);
      return typeof found === "string" ? found : "";
    });
  };
}

/** Behind the groups of a match stand its offset, the whole text and, with names, the named groups. */
function groupAt(match: readonly unknown[], index: number, hasNames: boolean): unknown {
  return index < match.length - (hasNames ? 3 : 2) ? match[index] : undefined;
}
