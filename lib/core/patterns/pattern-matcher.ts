import { BuildError } from "../errors.ts";
import { cleanPath } from "./clean-path.ts";
import { compileGoPattern } from "./go-match.ts";
import { PatternIndex } from "./pattern-index.ts";
import { compilePattern } from "./pattern.ts";
import { Reach } from "./reach.ts";

/**
 * Facts about a directory once it has been looked at; carried down so that nothing is asked twice. Immutable.
 */
export interface DirectoryMatch {
  readonly excluded: boolean;
  /** Index, in the list the matcher was made from, of the pattern that excluded it; `undefined` when it is not excluded. */
  readonly by: number | undefined;
  /** Ascending positions of the patterns that are known to match the directory or one above it. */
  readonly matched: readonly number[];
}

interface Pattern {
  readonly index: number;
  /** `!`: takes back what earlier patterns excluded. */
  readonly exclusion: boolean;
  readonly text: string;
  readonly matches: (path: string) => boolean;
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
  readonly root: DirectoryMatch = { excluded: false, by: undefined, matched: [] };
  /** Whether a `!` pattern exists. */
  readonly hasExclusions: boolean;
  readonly #patterns: readonly Pattern[];
  readonly #index = new PatternIndex();
  readonly #reach = new Reach();

  /** Blank patterns are passed over. @throws {BuildError} `pattern/malformed` */
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

  /** Whether a path is excluded, asked out of the blue. In a walk use `enter` and `matchesBelow`: same answers, less work. */
  matches(path: string): boolean {
    return this.#descend(path).excluded;
  }

  /** For a file in a walk. `parent` is what `enter` gave for its directory. */
  matchesBelow(path: string, parent: DirectoryMatch): boolean {
    return this.enter(path, parent).excluded;
  }

  /** For a directory in a walk. */
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
   * Whether something below an excluded directory might be taken back by a `!` pattern. `false` means the walk can pass the
   * directory over; `true` may be wrong, never `false`.
   */
  mayContainIncluded(directory: string): boolean {
    return this.#reach.below(directory);
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
  return [{ index, exclusion, text, matches: whenAsked(text) }];
}

/** Compiles a pattern when it is first asked: most of thousands of patterns are never asked about any path. */
function whenAsked(pattern: string): (path: string) => boolean {
  let compiled: ((path: string) => boolean) | undefined;
  return (path) => (compiled ??= compilePattern(pattern))(path);
}
