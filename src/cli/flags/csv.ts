import { CsvError, csvFields } from "../../../lib/core/csv.ts";
import { BuildError } from "../../../lib/core/errors.ts";

/**
 * Splits a flag's text into fields as Go's encoding/csv does; an empty text is one empty field.
 * @throws {BuildError} `cli/usage`
 */
export function splitCsv(text: string, flag: string): readonly string[] {
  try {
    return text === "" ? [""] : csvFields(text);
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    throw malformed(flag, text, error.message);
  }
}

/**
 * Parses `key=value` fields, keys in lower case. A field without `=` is an error unless `bare` gives its key.
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

/** @param flag its name without the dashes; or an environment variable, which is written in capitals. */
export function malformed(flag: string, text: string, why: string, hint?: string): BuildError {
  const name = /^[A-Z_]+$/.test(flag) ? flag : `--${flag}`;
  return new BuildError("cli/usage", `Cannot read ${name} ${JSON.stringify(withoutSecrets(text))}: ${why}`, { hint });
}

/** Hides the values of keys that are named for secrets: `secret_access_key=***`. */
export function withoutSecrets(text: string): string {
  return text.replaceAll(
    /(?:"([\w.-]*(?:token|secret|password|_key)[\w.-]*\s*=)(?:[^"]|"")*"?)|(\b[\w.-]*(?:token|secret|password|_key)[\w.-]*\s*=)[^,]*/gi,
    (_, quoted: string | undefined, plain: string | undefined) => `${quoted ?? plain ?? ""}***`,
  );
}
