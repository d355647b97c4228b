import type { IToken } from "chevrotain";
import type { ErrorCode } from "../../lib/core/errors.ts";
import { didYouMean } from "../../lib/core/suggest.ts";
import { KEYWORDS, type Keyword } from "./keywords.ts";
import type { LexedLine } from "./lexer.ts";
import * as T from "./tokens.ts";

/** The reason why the grammar refused an instruction. Offsets count in the logical line. */
export interface Explanation {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
  readonly start: number;
  readonly end: number;
  /**
   * `form`: the line cannot even be split into words. Such an error counts below ONBUILD too; the others wait until the
   * trigger runs.
   */
  readonly kind: "form" | "arity";
}

export function unknownInstruction(line: LexedLine): Explanation {
  const { keyword } = line;
  const known = [...KEYWORDS.keys()];
  return {
    code: "dockerfile/unknown-instruction",
    message: `unknown instruction: ${shorten(keyword.text)}${didYouMean(keyword.text, known)}`,
    hint: hintForUnknown(keyword.text),
    start: keyword.start,
    end: keyword.end,
    kind: "arity",
  };
}

/**
 * Explains a refusal. `found` is the token that did not fit; at the end of the line it is chevrotain's end-of-file
 * token.
 */
export function explainRefusal(line: LexedLine, name: Keyword, found: IToken): Explanation {
  const { tokens, keyword } = line;
  const whole = { code: "dockerfile/syntax", start: keyword.start, end: line.argumentsEnd, kind: "arity" } as const;
  const at = found instanceof T.LineToken ? { start: found.start, end: found.end } : {};
  const isEmpty = line.argumentsStart >= line.argumentsEnd;
  const usage = `write ${USAGE[name]}`;

  const mixed = tokens.find((token) => token.tokenType === T.JsonMixed);
  if (mixed !== undefined) {
    const message = "when using JSON array syntax, arrays must be comprised of strings only";
    const { start, end } = mixed;
    return { ...whole, message, start, end, kind: "form", hint: "put every element in double quotes" };
  }
  switch (name) {
    case "FROM":
      return { ...whole, message: "FROM requires either one or three arguments", hint: usage };
    case "ADD":
    case "COPY": {
      const count = tokens.some((token) => token.tokenType === T.Word || token.tokenType === T.JsonString)
        ? "only one"
        : "none";
      const message = `${name} requires at least two arguments, but ${count} was provided. Destination could not be determined`;
      return { ...whole, message, hint: usage };
    }
    case "ENV":
    case "LABEL":
    case "ARG": {
      if (isEmpty) return { ...whole, message: `${name} requires at least one argument`, hint: usage };
      const word = wordBefore(tokens, found);
      // After a name of ENV, the missing part is that name's value.
      if (
        found instanceof T.LineToken &&
        found.tokenType === T.Nameless &&
        (name === "ARG" || word.token.tokenType !== T.Name)
      ) {
        const message = `${name} names can not be blank`;
        return { ...whole, start: found.start, end: found.start + 1, message, hint: "put a name before the =" };
      }
      if (word.index === 0) return { ...whole, kind: "form", message: `${name} must have two arguments`, hint: usage };
      return {
        ...whole,
        kind: "form",
        start: word.token.start,
        end: word.token.end,
        message: `Syntax error - can't find = in ${JSON.stringify(shorten(word.token.image))}. Must be of the form: name=value`,
        hint: 'quote a value that contains blanks: name="one two"',
      };
    }
    case "SHELL":
      if (found.tokenType === T.Text)
        return { ...whole, message: "SHELL requires the arguments to be in JSON form", hint: usage };
      return { ...whole, message: "SHELL requires at least one argument", hint: usage };
    case "HEALTHCHECK":
      return { ...whole, ...explainHealthcheck(tokens, isEmpty), hint: usage };
    case "ONBUILD": {
      if (isEmpty) return { ...whole, message: "ONBUILD requires at least one argument", hint: usage };
      const trigger = found.image.toUpperCase();
      const message =
        trigger === "ONBUILD"
          ? "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"
          : `${trigger} isn't allowed as an ONBUILD trigger`;
      return { ...whole, ...at, message, hint: usage };
    }
    case "WORKDIR":
    case "USER":
    case "STOPSIGNAL":
    case "MAINTAINER":
      return { ...whole, message: `${name} requires exactly one argument`, hint: usage };
    default:
      return { ...whole, message: `${name} requires at least one argument`, hint: usage };
  }
}

function explainHealthcheck(tokens: readonly T.LineToken[], isEmpty: boolean): { readonly message: string } {
  if (isEmpty) return { message: "HEALTHCHECK requires at least one argument" };
  const [word] = tokens;
  if (word?.tokenType === T.None) return { message: "HEALTHCHECK NONE takes no arguments" };
  if (word?.tokenType === T.Test) return { message: "Missing command after HEALTHCHECK CMD" };
  const type = JSON.stringify(shorten(word?.image.toUpperCase() ?? ""));
  return { message: `Unknown type ${type} in HEALTHCHECK (try CMD)` };
}

const USAGE: Readonly<Record<Keyword, string>> = {
  CMD: "CMD <command>",
  ENTRYPOINT: "ENTRYPOINT <command>",
  RUN: "RUN <command>",
  ADD: "ADD <source>... <destination>",
  ARG: "ARG <name>[=<default value>]",
  COPY: "COPY <source>... <destination>",
  ENV: "ENV <name>=<value>",
  EXPOSE: "EXPOSE <port>[/<protocol>]",
  FROM: "FROM <image> [AS <name>]",
  HEALTHCHECK: "HEALTHCHECK [<options>] CMD <command>, or HEALTHCHECK NONE",
  LABEL: "LABEL <name>=<value>",
  MAINTAINER: "LABEL org.opencontainers.image.authors=<name>",
  ONBUILD: "ONBUILD <instruction>, which may be any but ONBUILD, FROM and MAINTAINER",
  SHELL: 'SHELL ["/bin/sh", "-c"]',
  STOPSIGNAL: "STOPSIGNAL <name or number>",
  USER: "USER <user>[:<group>]",
  VOLUME: "VOLUME <path>...",
  WORKDIR: "WORKDIR <path>",
};

/** Finds the token before the one that did not fit; the last token at the end of the line. */
function wordBefore(
  tokens: readonly T.LineToken[],
  found: IToken,
): { readonly token: T.LineToken; readonly index: number } {
  const foundAt = found instanceof T.LineToken ? tokens.indexOf(found) : tokens.length;
  const index = Math.max(0, foundAt - 1);
  const token = tokens[index];
  if (token === undefined) throw new Error("Nothing stands before what was refused");
  return { token, index };
}

function hintForUnknown(keyword: string): string {
  // Editors and web pages insert such characters, and they are invisible.
  const unseen = /[\p{Z}\p{Cf}\p{Cc}]/u.exec(keyword)?.[0].codePointAt(0);
  if (unseen !== undefined) {
    const code = unseen.toString(16).toUpperCase().padStart(4, "0");
    return `it holds U+${code}, a character that cannot be seen: write a plain blank or nothing in its place`;
  }
  if (/^["'[{]/.test(keyword) || keyword.startsWith("&&") || keyword.startsWith("|"))
    return "the line before may lack a \\ at its end";
  if (keyword.startsWith("//") || keyword.startsWith(";")) return "comments begin with #";
  return `instructions are ${[...KEYWORDS.keys()].join(", ")}`;
}

function shorten(text: string): string {
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`;
}
