import { PatternError, removePrefix, removeSuffix, replacePattern } from "./pattern.ts";

/** An error for a substitution that cannot be made; the message gives the reason. */
export class OperatorError extends Error {}

/** A parsed `${name-word}` or the like. */
export interface Operation {
  readonly name: string;
  /** `-`, `+`, `?`, `#` or `%`. */
  readonly operator: string;
  /** True when a colon stands before the operator: an empty value then counts as unset. */
  readonly hasColon: boolean;
  /** Expanded word. Operators that take a pattern get it with escapes in place. */
  readonly word: string;
}

/** Tells whether the operator's word is a pattern. */
export function takesPattern(operator: string): boolean {
  return operator === "#" || operator === "%";
}

/**
 * Applies an operator to a variable's value.
 * @throws {OperatorError}
 */
export function operate({ name, operator, hasColon, word }: Operation, value: string | undefined): string {
  const counts = value !== undefined && !(hasColon && value === "");
  if (hasColon && takesPattern(operator)) throw unsupported(`:${operator}`);
  switch (operator) {
    case "-":
      return counts ? value : word;
    case "+":
      return counts ? word : "";
    case "?": {
      if (counts) return value;
      const message = `is not allowed to be ${value === undefined ? "unset" : "empty"}`;
      throw new OperatorError(`${name}: ${word === "" ? message : word}`);
    }
    case "#":
    case "%": {
      const isGreedy = word.startsWith(operator);
      const pattern = isGreedy ? word.slice(1) : word;
      const remove = operator === "#" ? removePrefix : removeSuffix;
      return withPattern(pattern, () => remove(pattern, value ?? "", isGreedy ? "longest" : "shortest"));
    }
    default:
      throw unsupported(hasColon ? `:${operator}` : operator);
  }
}

/**
 * Replaces as `${name/pattern/text}` does, or with two slashes for `all`.
 * @throws {OperatorError}
 */
export function replaceIn(
  value: string,
  pattern: string,
  by: { readonly text: string; readonly count: "first" | "all" },
  maxLength: number,
): string {
  return withPattern(pattern, () => replacePattern(pattern, value, by, maxLength));
}

export function unsupported(written: string): OperatorError {
  return new OperatorError(`unsupported modifier (${written}) in substitution`);
}

function withPattern(pattern: string, work: () => string): string {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    throw new OperatorError(`invalid pattern (${shorten(pattern)}) in substitution: ${error.message}`);
  }
}

/** Shortens a text for a message. */
export function shorten(text: string): string {
  return text.length <= 120 ? text : `${text.slice(0, 117)}...`;
}
