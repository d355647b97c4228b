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
 * Translates a stack of the bundle to the files and lines of the sources. It reads large files, so it is for printed
 * stacks only; without them, or for a stack of other files, it returns the stack unchanged.
 * @param directory with `kiln.cjs`, `late/*.cjs` and the map of each
 */
export function sourceStack(stack: string, directory: string): string {
  const frame = /\(?[^\s()]*?((?:late\/)?[\w.-]+)\.cjs:(\d+):(\d+)\)?/g;
  const maps = new Map<string, Translate | undefined>();
  return stack.replaceAll(frame, (text, file: string, line: string, column: string) => {
    if (!maps.has(file)) maps.set(file, mapOf(join(directory, `${file}.cjs.map`)));
    const place = maps.get(file)?.(Number(line) - 1, Number(column) - 1);
    if (place === undefined) return text;
    return text.startsWith("(") ? `(${place})` : place;
  });
}

/** Finds the place in the sources of a line and column that count from 0. */
type Translate = (line: number, column: number) => string | undefined;

function mapOf(path: string): Translate | undefined {
  try {
    const payload = parseJson(readFileSync(path, "utf8"));
    if (!bundleMap.fits(payload)) return undefined;
    // Not imported: only a program that is about to end needs it.
    const { SourceMap } = process.getBuiltinModule("node:module");
    const { names, sources } = payload;
    const map = new SourceMap({
      ...payload,
      names: [...names],
      sources: [...sources],
      sourceRoot: "",
      sourcesContent: [],
    });
    return (line, column) => {
      const entry = map.findEntry(line, unescaped(column, payload.escapes?.[line] ?? []));
      // Code of the bundler itself has an entry, and no source.
      if (!("originalSource" in entry) || !TEXT.fits(entry.originalSource)) return undefined;
      return `${entry.originalSource.replace(/^(?:\.\.\/)+/, "")}:${entry.originalLine + 1}:${entry.originalColumn + 1}`;
    };
  } catch {
    return undefined; // a stack of the bundle is better than none
  }
}

/** Returns the column before characters were escaped. */
function unescaped(column: number, escapes: readonly number[]): number {
  let before = 0;
  while (before < escapes.length && (escapes[before] ?? 0) + before * 5 < column) before += 1;
  return column - before * 5;
}
