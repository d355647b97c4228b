import { BuildError } from "../../../lib/core/errors.ts";

/** Fields of one line as Go's encoding/csv splits them: `a,"b,c"` gives `a` and `b,c`; `""` inside quotes is a quote. */
export function splitCsv(text: string, flag: string): string[] {
  const fields: string[] = [];
  let at = 0;
  for (;;) {
    if (text[at] === '"') {
      const { field, next } = quoted(text, at, flag);
      fields.push(field);
      at = next;
    } else {
      const comma = text.indexOf(",", at);
      const end = comma === -1 ? text.length : comma;
      const field = text.slice(at, end);
      if (field.includes('"')) throw malformed(flag, text, "a quote stands inside an unquoted field");
      fields.push(field);
      at = end;
    }
    if (at >= text.length) return fields;
    at += 1;
  }
}

/**
 * `key=value` fields, keys in lower case. A field without `=` is an error unless `bare` says what its key is.
 * @throws {BuildError} `cli/usage`
 */
export function keyValues(text: string, flag: string, bare?: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const field of splitCsv(text, flag)) {
    const equals = field.indexOf("=");
    if (equals === -1) {
      if (bare === undefined) throw malformed(flag, text, `${JSON.stringify(field)} is not a key=value pair`);
      values.set(bare, field);
    } else values.set(field.slice(0, equals).trim().toLowerCase(), field.slice(equals + 1));
  }
  return values;
}

function quoted(text: string, start: number, flag: string): { readonly field: string; readonly next: number } {
  let field = "";
  let at = start + 1;
  for (;;) {
    const quote = text.indexOf('"', at);
    if (quote === -1) throw malformed(flag, text, "a quote is not closed");
    field += text.slice(at, quote);
    if (text[quote + 1] !== '"') {
      if (quote + 1 < text.length && text[quote + 1] !== ",")
        throw malformed(flag, text, "text follows a closing quote");
      return { field, next: quote + 1 };
    }
    field += '"';
    at = quote + 2;
  }
}

/** @param flag its name without the dashes; or an environment variable, which is written in capitals. */
export function malformed(flag: string, text: string, why: string, hint?: string): BuildError {
  const name = /^[A-Z_]+$/.test(flag) ? flag : `--${flag}`;
  return new BuildError("cli/usage", `Cannot read ${name} ${JSON.stringify(text)}: ${why}`, { hint });
}
