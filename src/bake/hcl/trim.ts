import type { TemplatePart } from "./ast.ts";

/** A template's pieces in the order of its text: `open` and `close` stand for the directives' own places. */
interface Edge {
  readonly before: boolean;
  readonly after: boolean;
}

const NONE: Edge = { before: false, after: false };

/**
 * Takes away the white space beside sequences with a `~`, once, when a file is read: a directive trims the text of the parts
 * around and inside it.
 */
export function trimParts(parts: readonly TemplatePart[], outside: Edge = NONE): TemplatePart[] {
  return parts.map((part, index) => {
    const left = index === 0 ? outside.before : endTrims(parts[index - 1]);
    const right = index === parts.length - 1 ? outside.after : beginTrims(parts[index + 1]);
    switch (part.kind) {
      case "text": {
        const cut = left ? part.text.trimStart() : part.text;
        return { kind: "text", text: right ? cut.trimEnd() : cut };
      }
      case "value":
        return part;
      case "if": {
        const { begin, middle, end } = part;
        const thenEnd = middle === undefined ? end.before : middle.before;
        return {
          ...part,
          whenTrue: trimParts(part.whenTrue, { before: begin.after, after: thenEnd }),
          whenFalse: trimParts(part.whenFalse, { before: middle?.after ?? false, after: end.before }),
        };
      }
      case "for":
        return { ...part, parts: trimParts(part.parts, { before: part.begin.after, after: part.end.before }) };
      default:
        return part satisfies never;
    }
  });
}

function endTrims(part: TemplatePart | undefined): boolean {
  if (part === undefined || part.kind === "text") return false;
  return part.kind === "value" ? part.trim.after : part.end.after;
}

function beginTrims(part: TemplatePart | undefined): boolean {
  if (part === undefined || part.kind === "text") return false;
  return part.kind === "value" ? part.trim.before : part.begin.before;
}
