import { BuildError } from "../errors.ts";
import { cleanPath } from "./clean-path.ts";
import { compileGoPattern } from "./go-match.ts";
import { PatternIndex } from "./pattern-index.ts";
import { compilePattern } from "./pattern.ts";
import { Reach } from "./reach.ts";

/** The state of a visited directory, passed down so that nothing is matched twice. Immutable. */
export interface DirectoryMatch {
  readonly excluded: boolean;
  /** Index (in the matcher's list) of the pattern that excluded it; `undefined` when it is not excluded. */
  readonly by: number | undefined;
  /** Ascending positions of the patterns known to match the directory or one above it. */
  readonly matched: readonly number[];
}

interface Pattern {
  readonly index: number;
  /** True for `!`: it includes again what earlier patterns excluded. */
  readonly exclusion: boolean;
  readonly text: string;
  readonly matches: (path: string) => boolean;
}

/**
 * Ordered ignore patterns with the semantics of moby/patternmatcher and BuildKit's directory walk. A path is excluded
 * when a pattern matches it or a directory above it. The last matching pattern decides; `!` includes again.
 *
 * Paths are relative to the root of the patterns, cleaned, with `/` between names. As in BuildKit's walk, a pattern is
 * only tried when it could change the answer, and a pattern that was not tried for a directory is unknown below it:
 * after `a/b`, the pattern `!a` does not bring `a/b` back.
 */
export class PatternMatcher {
  /** The parent of a top-level name, for `enter` and `matchesBelow`. */
  readonly root: DirectoryMatch = { excluded: false, by: undefined, matched: [] };
  /** True when there is a `!` pattern. */
  readonly hasExclusions: boolean;
  readonly #patterns: readonly Pattern[];
  readonly #index = new PatternIndex();
  readonly #reach = new Reach();

  /**
   * Blank patterns are skipped.
   * @throws {BuildError} `pattern/malformed`
   */
  constructor(patterns: readonly string[]) {
    this.#patterns = patterns.flatMap((text, index) => readPattern(text, index));
    for (const [position, { text, exclusion }] of this.#patterns.entries()) {
      this.#index.add(text, position);
      if (exclusion) this.#reach.add(text);
    }
    this.hasExclusions = this.#patterns.some((pattern) => pattern.exclusion);
  }

  get isEmpty(): boolean {
    return this.#patterns.length === 0;
  }

  /**
   * Tells whether a path is excluded, without a walk. In a walk, use `enter` and `matchesBelow`: same answers, less
   * work.
   */
  matches(path: string): boolean {
    return this.#descend(path).excluded;
  }

  /** Tells whether a file in a walk is excluded. `parent` is the result of `enter` for its directory. */
  matchesBelow(path: string, parent: DirectoryMatch): boolean {
    return this.enter(path, parent).excluded;
  }

  /** Matches a directory in a walk. */
  enter(path: string, parent: DirectoryMatch): DirectoryMatch {
    let excluded = false;
    let by: number | undefined;
    const matched: number[] = [];
    const take = (position: number): void => {
      const pattern = this.#patterns[position];
      if (pattern === undefined) return;
      excluded = !pattern.exclusion;
      by = excluded ? pattern.index : undefined;
      matched.push(position);
    };
    let next = 0;
    const takeInherited = (before: number): void => {
      for (let at = parent.matched[next]; at !== undefined && at < before; at = parent.matched[next]) {
        take(at);
        next += 1;
      }
    };
    for (const position of this.#index.candidates(path)) {
      takeInherited(position);
      if (parent.matched[next] === position) continue;
      const pattern = this.#patterns[position];
      if (pattern !== undefined && pattern.exclusion === excluded && pattern.matches(path)) take(position);
    }
    takeInherited(Infinity);
    return { excluded, by, matched };
  }

  /**
   * Tells whether a `!` pattern might include something below an excluded directory. `false` means the walk can skip
   * the directory; `true` may be wrong, `false` never.
   */
  mayContainIncluded(directory: string): boolean {
    return this.#reach.below(directory);
  }

  /** Finds the pattern that excludes a path, as an index into the constructor's list; `undefined` when none does. */
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
  // Compiled only to find syntax errors.
  compileGoPattern(text);
  return [{ index, exclusion, text, matches: whenAsked(text) }];
}

/** Compiles a pattern on first use: most of thousands of patterns are never tried. */
function whenAsked(pattern: string): (path: string) => boolean {
  let compiled: ((path: string) => boolean) | undefined;
  return (path) => (compiled ??= compilePattern(pattern))(path);
}
