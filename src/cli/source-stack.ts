import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseJson } from "../../lib/core/json.ts";
import { list, NUMBER, object, optional, TEXT } from "../../lib/core/shape.ts";

/** The used part of the bundle's source map. `escapes`: for each line, the columns that became five columns wider. */
interface BundleMap {
  readonly version: number;
  readonly file: string;
  readonly names: readonly string[];
  readonly sources: readonly string[];
  readonly mappings: string;
  readonly escapes?: readonly (readonly number[])[];
}

const bundleMap = object<BundleMap>({
  version: NUMBER,
  file: TEXT,
  names: list(TEXT),
  sources: list(TEXT),
  mappings: TEXT,
  escapes: optional(list(list(NUMBER))),
});

/**
 * Translates a stack of the bundle to the files and lines of the sources. It reads a large file, so it is for printed
 * stacks only; without the file, or for a stack of other files, it returns the stack unchanged.
 * @param directory with `kiln.cjs` and `kiln.cjs.map`
 */
export function sourceStack(stack: string, directory: string): string {
  const frame = /\(?[^\s()]*kiln\.cjs:(\d+):(\d+)\)?/g;
  if (!frame.test(stack)) return stack;
  try {
    const payload = parseJson(readFileSync(join(directory, "kiln.cjs.map"), "utf8"));
    if (!bundleMap.fits(payload)) return stack;
    // Not imported: only a program that is about to end needs it.
    const { SourceMap } = process.getBuiltinModule("node:module");
    const map = new SourceMap({
      ...payload,
      names: [...payload.names],
      sources: [...payload.sources],
      sourceRoot: "",
      sourcesContent: [],
    });
    return stack.replaceAll(frame, (text, line: string, column: string) => {
      const at = { line: Number(line) - 1, column: Number(column) - 1 };
      const entry = map.findEntry(at.line, unescaped(at.column, payload.escapes?.[at.line] ?? []));
      if (!("originalSource" in entry)) return text;
      const place = `${entry.originalSource.replace(/^(?:\.\.\/)+/, "")}:${entry.originalLine + 1}:${entry.originalColumn + 1}`;
      return text.startsWith("(") ? `(${place})` : place;
    });
  } catch {
    return stack; // a stack of the bundle is better than none
  }
}

/** Returns the column before characters were escaped. */
function unescaped(column: number, escapes: readonly number[]): number {
  let before = 0;
  while (before < escapes.length && (escapes[before] ?? 0) + before * 5 < column) before += 1;
  return column - before * 5;
}
