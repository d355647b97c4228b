import { BuildError } from "../errors.ts";
import { cleanPath } from "./clean-path.ts";
import { compileGoPattern } from "./go-match.ts";
import { compilePattern } from "./pattern.ts";

/**
 * What is known about a directory once it has been looked at; carried down so that an entry costs one test per pattern and
 * nothing is asked twice. Immutable.
 */
export interface DirectoryMatch {
  readonly excluded: boolean;
  /** Index, in the list the matcher was made from, of the pattern that excluded it; `undefined` when it is not excluded. */
  readonly by: number | undefined;
  /** Per pattern: whether it is known to match the directory or one above it. */
  readonly matched: readonly boolean[];
}

interface Pattern {
  readonly index: number;
  /** `!`: takes back what earlier patterns excluded. */
  readonly exclusion: boolean;
  readonly matches: (path: string) => boolean;
  /** For `!`: one matcher per name of the pattern, up to the first part that does not stay within one name. */
  readonly names: readonly ((name: string) => boolean)[];
  readonly depth: "bounded" | "unbounded";
}

/**
 * Ignore patterns in order, as moby/patternmatcher reads them and as BuildKit's directory walk uses them: a path is excluded
 * when a pattern matches it or a directory above it, and the last pattern that matches decides, `!` taking it back.
 *
 * Paths are relative to the root the patterns are anchored at, cleaned, with `/` between names. As in the walk, a pattern
 * is only asked when it could change the answer, and what it was not asked about a directory it does not know below it:
 * after `a/b`, the pattern `!a` does not bring `a/b` back.
 */
export class PatternMatcher {
  /** What `enter` and `matchesBelow` take as the parent of a top-level name. */
  readonly root: DirectoryMatch;
  /** Whether a `!` pattern exists. */
  readonly hasExclusions: boolean;
  readonly #patterns: readonly Pattern[];

  /** Blank patterns are passed over. @throws {BuildError} `pattern/malformed` */
  constructor(patterns: readonly string[]) {
    this.#patterns = patterns.flatMap((text, index) => readPattern(text, index));
    this.hasExclusions = this.#patterns.some((pattern) => pattern.exclusion);
    this.root = { excluded: false, by: undefined, matched: this.#patterns.map(() => false) };
  }

  get isEmpty(): boolean {
    return this.#patterns.length === 0;
  }

  /** Whether a path is excluded, asked out of the blue. In a walk use `enter` and `matchesBelow`: same answers, less work. */
  matches(path: string): boolean {
    return this.#descend(path).excluded;
  }

  /** For a file in a walk. `parent` is what `enter` gave for its directory. */
  matchesBelow(path: string, parent: DirectoryMatch): boolean {
    let excluded = false;
    for (const [at, pattern] of this.#patterns.entries()) {
      if (parent.matched[at] || (pattern.exclusion === excluded && pattern.matches(path)))
        excluded = !pattern.exclusion;
    }
    return excluded;
  }

  /** For a directory in a walk. */
  enter(path: string, parent: DirectoryMatch): DirectoryMatch {
    let excluded = false;
    let by: number | undefined;
    const matched = this.#patterns.map((pattern, at) => {
      const isMatch = parent.matched[at] || (pattern.exclusion === excluded && pattern.matches(path));
      if (isMatch) {
        excluded = !pattern.exclusion;
        by = excluded ? pattern.index : undefined;
      }
      return isMatch;
    });
    return { excluded, by, matched };
  }

  /**
   * Whether something below an excluded directory might be taken back by a `!` pattern. `false` means the walk can pass the
   * directory over; `true` may be wrong, never `false`.
   */
  mayContainIncluded(directory: string): boolean {
    return this.#patterns.some((pattern) => pattern.exclusion && reachesBelow(pattern, directory));
  }

  /** The pattern, as an index into the list given to the constructor, that excludes a path; `undefined` when none does. */
  explain(path: string): number | undefined {
    return this.#descend(path).by;
  }

  #descend(path: string): DirectoryMatch {
    let match = this.root;
    for (let slash = path.indexOf("/"); slash !== -1; slash = path.indexOf("/", slash + 1)) {
      match = this.enter(path.slice(0, slash), match);
    }
    return this.enter(path, match);
  }
}

function readPattern(given: string, index: number): Pattern[] {
  const trimmed = given.trim();
  if (trimmed === "") return [];
  const cleaned = cleanPath(trimmed);
  const exclusion = cleaned.startsWith("!");
  const text = exclusion ? cleaned.slice(1) : cleaned;
  if (text === "") {
    throw new BuildError("pattern/malformed", 'Cannot use "!" as a pattern: nothing follows it', {
      hint: 'write the path to keep behind it, as in "!README.md"',
    });
  }
  // Only for its syntax errors.
  compileGoPattern(text);
  const parts = exclusion ? text.split("/") : [];
  // "**" and classes can match "/", and a backslash can hide one.
  const open = parts.findIndex((part) => part.includes("**") || part.includes("[") || part.includes("\\"));
  const bounded = open === -1 ? parts : parts.slice(0, open);
  return [
    {
      index,
      exclusion,
      matches: compilePattern(text),
      names: bounded.map(compilePattern),
      depth: open === -1 ? "bounded" : "unbounded",
    },
  ];
}

/** Compares name by name as far as both go. A pattern that ends at the directory or above it says nothing about what is below. */
function reachesBelow(pattern: Pattern, directory: string): boolean {
  const names = directory.split("/");
  for (const [depth, matches] of pattern.names.entries()) {
    const name = names[depth];
    if (name === undefined) return true;
    if (!matches(name)) return false;
  }
  return pattern.depth === "unbounded";
}
