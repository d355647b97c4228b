import { unreachable } from "../errors.ts";
import { type Range, inClass, parseClass } from "./go-match.ts";

/**
 * Compiles one ignore pattern, after `!` and cleaning, with the semantics of moby/patternmatcher:
 * - `*` and `?` stay within a name, `[a-z]` is a class, `\` protects the next character;
 * - `**` before a `/` stands for any number of directories, including none;
 * - `**` at the end takes everything; a leading `**` followed by plain text is a suffix: `**foo` matches `a/xfoo`.
 *
 * minimatch was tried against these rules and differs: `a**b`, `**foo`, classes that hold `/`, dot files and the empty
 * match of `a**`. So patterns are compiled here. Two oddities of moby are left out on purpose, because both come from
 * gluing text into a regular expression: `*` inside a class, and `\d` or `^` turning into regex syntax.
 */
export function compilePattern(pattern: string): (path: string) => boolean {
  const tokens = tokenize(pattern);
  const isPlain = tokens.every((token) => token.kind === "text");
  if (isPlain && !pattern.includes("\\")) return (path) => path === pattern;
  const [first, ...rest] = tokens;
  if (rest.every((token) => token.kind === "text") && !pattern.includes("\\")) {
    if (first?.kind === "rest") return () => true;
    if (pattern.startsWith("**")) {
      const suffix = pattern.slice(2);
      return (path) => path.endsWith(suffix) || (suffix.startsWith("/") && path === suffix.slice(1));
    }
  }
  const [text, last] = tokens;
  if (tokens.length === 2 && text?.kind === "text" && last?.kind === "rest" && !pattern.includes("\\")) {
    return (path) => path.startsWith(text.text);
  }
  // A backtracking engine takes quadratic time in the path with two open ends, and more with each further one.
  const openEnds = tokens.filter(({ kind }) => kind === "star" || kind === "directories" || kind === "rest").length;
  if (openEnds <= 2) {
    const expression = new RegExp(`^${tokens.map(toRegExp).join("")}$`, "u");
    return (path) => expression.test(path);
  }
  const steps = toSteps(tokens);
  return (path) => simulate(steps, path);
}

type Token =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "any" }
  | { readonly kind: "star" }
  /** `**` before more pattern: nothing, or any text that ends in `/`. */
  | { readonly kind: "directories" }
  /** `**` at the end. */
  | { readonly kind: "rest" }
  | { readonly kind: "class"; readonly negated: boolean; readonly ranges: readonly Range[] };

function tokenize(pattern: string): Token[] {
  const tokens: Token[] = [];
  let text = "";
  const push = (token: Token): void => {
    if (text !== "") tokens.push({ kind: "text", text });
    text = "";
    tokens.push(token);
  };
  for (let at = 0; at < pattern.length;) {
    const char = pattern[at] ?? "";
    if (char === "*" && pattern[at + 1] === "*") {
      at += pattern[at + 2] === "/" ? 3 : 2;
      push({ kind: at >= pattern.length ? "rest" : "directories" });
    } else if (char === "*" || char === "?") {
      push({ kind: char === "*" ? "star" : "any" });
      at += 1;
    } else if (char === "[") {
      const found = parseClass(pattern, at);
      push({ kind: "class", negated: found.negated, ranges: found.ranges });
      at = found.end;
    } else {
      if (char === "\\") at += 1;
      text += pattern[at] ?? "";
      at += 1;
    }
  }
  if (text !== "") tokens.push({ kind: "text", text });
  return tokens;
}

function toRegExp(token: Token): string {
  switch (token.kind) {
    case "text":
      return token.text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
    case "any":
      return "[^/]";
    case "star":
      return "[^/]*";
    case "directories":
      return "(?:[^\\n]*/)?";
    case "rest":
      return "[^\\n]*";
    case "class": {
      const escape = (code: number): string => `\\u{${code.toString(16)}}`;
      return `[${token.negated ? "^" : ""}${token.ranges.map(({ low, high }) => `${escape(low)}-${escape(high)}`).join("")}]`;
    }
    default:
      return unreachable(token);
  }
}

/**
 * One state of the automaton. Reading a character that `takes` accepts leads to the next state, or to this one again.
 */
interface Step {
  takes(code: number): boolean;
  readonly repeats: boolean;
  /** States reachable from here without reading, as distances. */
  readonly jumps: readonly number[];
}

const SLASH = 0x2f;
const NEWLINE = 0x0a;

function toSteps(tokens: readonly Token[]): Step[] {
  return tokens.flatMap(stepsOf);
}

function stepsOf(token: Token): Step[] {
  switch (token.kind) {
    case "text":
      return Array.from(token.text, (char) => one((code) => code === char.codePointAt(0)));
    case "any":
      return [one((code) => code !== SLASH)];
    case "star":
      return [{ takes: (code) => code !== SLASH, repeats: true, jumps: [1] }];
    case "directories":
      // A fork between nothing and "anything, then a slash": inside the second branch, only the slash leads out.
      return [
        { takes: () => false, repeats: false, jumps: [1, 3] },
        { takes: (code) => code !== NEWLINE, repeats: true, jumps: [1] },
        one((code) => code === SLASH),
      ];
    case "rest":
      return [{ takes: (code) => code !== NEWLINE, repeats: true, jumps: [1] }];
    case "class":
      return [one((code) => inClass(code, token.negated, token.ranges))];
    default:
      return unreachable(token);
  }
}

function one(takes: (code: number) => boolean): Step {
  return { takes, repeats: false, jumps: [] };
}

/** Runs all states in parallel, so the work is at most states x characters, even for hostile patterns. */
function simulate(steps: readonly Step[], path: string): boolean {
  let states = new Uint8Array(steps.length + 1);
  states[0] = 1;
  skipAhead(steps, states);
  for (const char of path) {
    const code = char.codePointAt(0) ?? 0;
    const next = new Uint8Array(steps.length + 1);
    for (const [index, step] of steps.entries()) {
      if (states[index] === 0 || !step.takes(code)) continue;
      next[step.repeats ? index : index + 1] = 1;
    }
    skipAhead(steps, next);
    states = next;
  }
  return states[steps.length] === 1;
}

function skipAhead(steps: readonly Step[], states: Uint8Array): void {
  // Jumps only lead forward, so one pass reaches everything.
  for (const [index, { jumps }] of steps.entries()) {
    if (states[index] === 1) for (const jump of jumps) states[index + jump] = 1;
  }
}
