/** The fields of one paragraph: the first line of each. */
export type Fields = ReadonlyMap<string, string>;

/**
 * Reads paragraphs of `Name: value` lines, separated by empty lines: the databases of dpkg and apk, and the headers of Python's
 * metadata. Continued lines, which begin with a space, are left out. The first of several fields with one name counts.
 */
export function* paragraphs(text: string): Generator<Fields> {
  let fields = new Map<string, string>();
  for (const line of lines(text)) {
    if (line === "") {
      if (fields.size > 0) yield fields;
      fields = new Map();
      continue;
    }
    const colon = line.indexOf(":");
    if (colon < 1 || line.startsWith(" ") || line.startsWith("\t")) continue;
    const name = line.slice(0, colon);
    if (!fields.has(name)) fields.set(name, line.slice(colon + 1).trim());
  }
  if (fields.size > 0) yield fields;
}

/** Splits a text without a list of all its lines. */
function* lines(text: string): Generator<string> {
  let start = 0;
  while (start < text.length) {
    const newline = text.indexOf("\n", start);
    const end = newline < 0 ? text.length : newline;
    yield text.charCodeAt(end - 1) === 13 && end > start ? text.slice(start, end - 1) : text.slice(start, end);
    start = end + 1;
  }
}
