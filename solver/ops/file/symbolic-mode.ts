import { BuildError } from "../../../src/core/errors.ts";

/** One `u+rwX` of a symbolic mode, ready to be applied. */
interface Clause {
  /** The bits that `who` stands for, set-id and sticky bits included where they belong. */
  readonly who: number;
  readonly operator: "+" | "-" | "=";
  readonly permissions: number;
  /** `X`: execute for directories and for files that already have it for someone. */
  readonly conditionalExecute: boolean;
  /** `g=u`: the permissions of another class, taken at the time of applying. */
  readonly copyFrom: "u" | "g" | "o" | undefined;
}

export type SymbolicMode = readonly Clause[];

const WHO: Readonly<Record<string, number>> = { u: 0o4700, g: 0o2070, o: 0o1007, a: 0o7777 };
const SHIFT = { u: 6, g: 3, o: 0 } as const;

/**
 * Reads chmod(1)'s symbolic form, `u=rwX,go=rX`. No umask applies to a clause without a class.
 * @throws {BuildError} `dockerfile/copy`
 */
export function parseSymbolicMode(text: string): SymbolicMode {
  const clauses: Clause[] = [];
  for (const part of text.split(",")) {
    const found = /^([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)$/.exec(part);
    if (found === null) throw malformed(text);
    const [, classes = "", actions = ""] = found;
    let who = 0;
    for (const letter of classes === "" ? "a" : classes) who |= WHO[letter] ?? 0;
    for (const [, operator = "", permissions = ""] of actions.matchAll(/([-+=])([rwxXst]+|[ugo]|)/g)) {
      clauses.push(clause(who, operator, permissions, classes === ""));
    }
  }
  return clauses;
}

/** The permission bits (0 to 07777) after applying the clauses in order. */
export function applySymbolicMode(mode: SymbolicMode, bits: number, isDirectory: boolean): number {
  let result = bits & 0o7777;
  for (const { who, operator, permissions, conditionalExecute, copyFrom } of mode) {
    let value = permissions;
    if (copyFrom !== undefined) value = ((result >> SHIFT[copyFrom]) & 7) * 0o111;
    if (conditionalExecute && (isDirectory || (result & 0o111) !== 0)) value |= 0o111;
    value &= who;
    if (operator === "+") result |= value;
    else if (operator === "-") result &= ~value;
    // As GNU chmod: "=" leaves a directory's set-id bits alone unless they are named.
    else result = (result & ~(who & (isDirectory ? 0o1777 | (value & 0o6000) : 0o7777))) | value;
  }
  return result;
}

function clause(who: number, operator: string, letters: string, isDefaultClass: boolean): Clause {
  let permissions = 0;
  let conditionalExecute = false;
  let copyFrom: Clause["copyFrom"];
  for (const letter of letters) {
    if (letter === "r") permissions |= 0o444;
    else if (letter === "w") permissions |= 0o222;
    else if (letter === "x") permissions |= 0o111;
    else if (letter === "X") conditionalExecute = true;
    else if (letter === "s") permissions |= 0o6000;
    else if (letter === "t") permissions |= 0o1000;
    else if (letter === "u" || letter === "g" || letter === "o") copyFrom = letter;
  }
  return {
    who: isDefaultClass && letters.includes("t") ? who | 0o1000 : who,
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
