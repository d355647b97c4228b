/** An error for text that is not one line of CSV; the message gives the reason. */
export class CsvError extends Error {}

/**
 * Splits one line of CSV as Go's encoding/csv does: a field in double quotes may hold commas, and `""` for a quote. A
 * quote in the middle of any other field is an error.
 * @throws {CsvError}
 */
export function csvFields(line: string): readonly string[] {
  if (line === "") throw new CsvError("EOF");
  const fields: string[] = [];
  for (let at = 0; ;) {
    const { field, end } = line[at] === '"' ? quotedField(line, at) : plainField(line, at);
    fields.push(field);
    if (end >= line.length) return fields;
    at = end + 1;
  }
}

function plainField(line: string, start: number): { readonly field: string; readonly end: number } {
  const comma = line.indexOf(",", start);
  const end = comma === -1 ? line.length : comma;
  const field = line.slice(start, end);
  const quote = field.indexOf('"');
  if (quote !== -1) throw failure(start + quote, 'bare " in non-quoted-field');
  return { field, end };
}

function quotedField(line: string, start: number): { readonly field: string; readonly end: number } {
  let field = "";
  for (let at = start + 1; ;) {
    const quote = line.indexOf('"', at);
    if (quote === -1) throw failure(line.length, 'extraneous or missing " in quoted-field');
    field += line.slice(at, quote);
    const next = line[quote + 1];
    if (next === undefined || next === ",") return { field, end: quote + 1 };
    if (next !== '"') throw failure(quote, 'extraneous or missing " in quoted-field');
    field += '"';
    at = quote + 2;
  }
}

function failure(offset: number, what: string): CsvError {
  return new CsvError(`parse error on line 1, column ${String(offset + 1)}: ${what}`);
}
