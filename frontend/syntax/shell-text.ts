/**
 * Prepares a shell command line so that every remaining unquoted `<<` begins a here-document: it cuts off the comment
 * at its end, and replaces the `<<` of arithmetic, a bit shift, by other characters. Offsets stay the same.
 */
export function withoutShifts(text: string): string {
  const pieces: string[] = [];
  let copied = 0;
  for (let at = 0; at < text.length;) {
    if (text[at] === "#" && isWordStart(text, at)) return pieces.join("") + text.slice(copied, at);
    const end = arithmeticEnd(text, at);
    if (end === undefined) {
      at = skip(text, at);
      continue;
    }
    pieces.push(text.slice(copied, at), text.slice(at, end).replaceAll("<", "+"));
    copied = at = end;
  }
  return pieces.join("") + text.slice(copied);
}

/** Finds the end of the `$((...))`, `((...))` or `$[...]` that begins here; `undefined` when none begins. */
function arithmeticEnd(text: string, start: number): number | undefined {
  if (text.startsWith("$[", start)) return closingOffset(text, start + 1, "[", "]");
  const isExpansion = text.startsWith("$((", start);
  if (!isExpansion && !(text.startsWith("((", start) && isWordStart(text, start))) return undefined;
  const outer = isExpansion ? start + 1 : start;
  const end = closingOffset(text, outer, "(", ")");
  const inner = closingOffset(text, outer + 1, "(", ")");
  // `$( (a) | b )` is a command with a subshell: its last two brackets are not adjacent.
  return end !== undefined && inner === end - 1 ? end : undefined;
}

/** Finds the offset after the bracket that closes the one at `start`. */
function closingOffset(text: string, start: number, open: string, close: string): number | undefined {
  let depth = 0;
  for (let at = start; at < text.length; at = skip(text, at)) {
    if (text[at] === open) depth += 1;
    if (text[at] === close) depth -= 1;
    if (depth === 0) return at + 1;
  }
  return undefined;
}

/**
 * Finds the offset after a character and what it protects: the next one after a backslash, or all up to the closing
 * quote.
 */
function skip(text: string, offset: number): number {
  const char = text[offset];
  if (char === "\\") return offset + 2;
  if (char === "'") return behind(text.indexOf("'", offset + 1), text);
  if (char !== '"') return offset + 1;
  let end = offset + 1;
  while (end < text.length && text[end] !== '"') end += text[end] === "\\" ? 2 : 1;
  return end + 1;
}

function behind(offset: number, text: string): number {
  return offset === -1 ? text.length : offset + 1;
}

function isWordStart(text: string, offset: number): boolean {
  return offset === 0 || " \t;|&()".includes(text[offset - 1] ?? "");
}
