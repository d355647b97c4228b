import type { Comment } from "../syntax/logical-line.ts";

/** Finds the description of `name` in the comments above: the first comment that begins with the name. */
export function describe(comments: readonly Comment[], name: string): string | undefined {
  for (const { text } of comments) if (text.startsWith(`${name} `)) return text.slice(name.length + 1);
  return undefined;
}

/** Finds descriptions by name, for instructions that declare many. */
export function describeAll(comments: readonly Comment[]): ReadonlyMap<string, string> {
  if (comments.length === 0) return NONE;
  const descriptions = new Map<string, string>();
  for (const { text } of comments) {
    const blank = text.indexOf(" ");
    const name = text.slice(0, Math.max(0, blank));
    if (blank > 0 && !descriptions.has(name)) descriptions.set(name, text.slice(blank + 1));
  }
  return descriptions;
}

const NONE: ReadonlyMap<string, string> = new Map();

/** Finds the value of a `check=` comment, which configures the checks for the instruction below it. */
export function checkOf(comments: readonly Comment[]): string | undefined {
  if (comments.length === 0) return undefined;
  for (const { text } of comments) {
    const value = /^check\s*=\s*(\S.*)$/i.exec(text)?.[1];
    if (value !== undefined) return value;
  }
  return undefined;
}
