import { BuildError } from "../../../lib/core/errors.ts";

/** One `u+rwX` of a symbolic mode, parsed. */
interface Clause {
  /** The bits that the clause may change; 0 when it names no class. */
  readonly mask: number;
  readonly operator: "+" | "-" | "=";
  readonly permissions: number;
  /** `X`: execute for directories, and for files with any execute bit before the clauses are applied. */
  readonly conditionalExecute: boolean;
  /** `g=u`: the permissions of another class at that moment. */
  readonly copyFrom: "u" | "g" | "o" | undefined;
}

export type SymbolicMode = readonly Clause[];

const WHO: Readonly<Record<string, number>> = { u: 0o4700, g: 0o2070, o: 0o0007, a: 0o6777 };
const SHIFT = { u: 6, g: 3, o: 0 } as const;
const STICKY = 0o1000;

/**
 * Parses chmod(1)'s symbolic form, `u=rwX,go=rX`. No umask applies to a clause without a class. Details follow BSD's
 * setmode(3), as in BuildKit: the sticky bit belongs to no class, and `t` in a clause without one makes it a clause
 * about that bit alone; clauses for other classes ignore `s` and `t`; `=` with a class to copy from leaves set-id bits
 * alone.
 * @throws {BuildError} `dockerfile/copy`
 */
export function parseSymbolicMode(text: string): SymbolicMode {
  const clauses: Clause[] = [];
  for (const part of text.split(",")) {
    const found = /^([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)$/.exec(part);
    if (found === null) throw malformed(text);
    const [, classes = "", actions = ""] = found;
    let mask = 0;
    for (const letter of classes) mask |= WHO[letter] ?? 0;
    for (const [, operator = "", permissions = ""] of actions.matchAll(/([-+=])([rwxXst]+|[ugo]|)/g)) {
      clauses.push(clause(mask, operator, permissions));
    }
  }
  return clauses;
}

/** Returns the permission bits (0 to 07777) after applying the clauses in order. */
export function applySymbolicMode(mode: SymbolicMode, bits: number, isDirectory: boolean): number {
  let result = bits & 0o7777;
  for (const { mask, operator, permissions, conditionalExecute, copyFrom } of mode) {
    let value = permissions;
    let cleared = mask === 0 ? 0o6777 : mask;
    if (copyFrom !== undefined) {
      value = ((result >> SHIFT[copyFrom]) & 7) * 0o111;
      cleared &= 0o777;
    } else if (conditionalExecute && (isDirectory || (bits & 0o111) !== 0)) value |= 0o111;
    if (mask !== 0) value &= mask;
    if (operator === "+") result |= value;
    else if (operator === "-") result &= ~value;
    else result = (result & ~cleared) | value;
  }
  return result;
}

function clause(classes: number, operator: string, letters: string): Clause {
  const isOthers = classes === WHO["o"];
  let mask = classes;
  let permissions = 0;
  let conditionalExecute = false;
  let copyFrom: Clause["copyFrom"];
  for (const letter of letters) {
    if (letter === "r") permissions |= 0o444;
    else if (letter === "w") permissions |= 0o222;
    else if (letter === "x") permissions |= 0o111;
    else if (letter === "X") conditionalExecute = true;
    else if (letter === "s" && !isOthers) permissions |= 0o6000;
    else if (letter === "t" && !isOthers) {
      mask |= STICKY;
      permissions |= STICKY;
    } else if (letter === "u" || letter === "g" || letter === "o") copyFrom = letter;
  }
  return {
    mask: mask,
    operator: operator === "+" || operator === "-" ? operator : "=",
    permissions,
    conditionalExecute,
    copyFrom,
  };
}

function malformed(text: string): BuildError {
  return new BuildError("dockerfile/copy", `Cannot read --chmod=${text}: not an octal or symbolic mode`, {
    hint: 'write an octal mode such as 0644, or a symbolic one such as "u=rwX,go=rX"',
  });
}
