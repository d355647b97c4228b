import { compilePattern } from "./pattern.ts";

/** A set of patterns with an index of the directories below which they may match. */
export class Reach {
  /** Parent directories of literal paths. */
  readonly #onTheWay = new Set<string>();
  /** Literal directories below which anything may match. */
  readonly #open = new Set<string>();
  readonly #others: NamePattern[] = [];

  add(pattern: string): void {
    const parts = pattern.split("/");
    // "**" and classes can match "/", and a backslash can hide one.
    const first = parts.findIndex((part) => part.includes("**") || part.includes("[") || part.includes("\\"));
    const names = first === -1 ? parts : parts.slice(0, first);
    const depth = first === -1 ? "bounded" : "unbounded";
    if (names.some((name) => /[*?]/.test(name))) {
      this.#others.push({ names: names.map(compilePattern), depth });
      return;
    }
    for (let count = 1; count < names.length; count += 1) this.#onTheWay.add(names.slice(0, count).join("/"));
    if (depth === "unbounded") this.#open.add(names.join("/"));
  }

  /** Tells whether something below the directory may match; `true` may be wrong, `false` never. */
  below(directory: string): boolean {
    if (this.#onTheWay.has(directory) || this.#open.has("")) return true;
    for (let slash = directory.indexOf("/"); slash !== -1; slash = directory.indexOf("/", slash + 1))
      if (this.#open.has(directory.slice(0, slash))) return true;
    if (this.#open.has(directory)) return true;
    const names = this.#others.length === 0 ? [] : directory.split("/");
    return this.#others.some((pattern) => reachesBelow(pattern, names));
  }
}

interface NamePattern {
  /** One matcher per name of the pattern, up to the first part that can span several names. */
  readonly names: readonly ((name: string) => boolean)[];
  readonly depth: "bounded" | "unbounded";
}

/**
 * Compares name by name as far as both go. A pattern that ends at the directory or above it does not concern the files
 * below.
 */
function reachesBelow(pattern: NamePattern, names: readonly string[]): boolean {
  for (const [depth, matches] of pattern.names.entries()) {
    const name = names[depth];
    if (name === undefined) return true;
    if (!matches(name)) return false;
  }
  return pattern.depth === "unbounded";
}
