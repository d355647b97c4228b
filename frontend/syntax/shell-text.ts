/**
 * A shell's command line in which every `<<` begins a here-document or is quoted: the comment at its end is cut off, and in
 * arithmetic, where `<<` shifts bits, other characters take its place. Offsets stay as they are.
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

/** Where `$((...))`, `((...))` or `$[...]` ends that begins here; `undefined` when none does. */
function arithmeticEnd(text: string, start: number): number | undefined {
  if (text.startsWith("$[", start)) return closingOffset(text, start + 1, "[", "]");
  const isExpansion = text.startsWith("$((", start);
  if (!isExpansion && !(text.startsWith("((", start) && isWordStart(text, start))) return undefined;
  const outer = isExpansion ? start + 1 : start;
  const end = closingOffset(text, outer, "(", ")");
  const inner = closingOffset(text, outer + 1, "(", ")");
  // `$( (a) | b )` is a command in a subshell of its own: there the last two do not stand together.
  return end !== undefined && inner === end - 1 ? end : undefined;
}

/** The offset behind the bracket that closes the one at `start`. */
function closingOffset(text: string, start: number, open: string, close: string): number | undefined {
  let depth = 0;
  for (let at = start; at < text.length; at = skip(text, at)) {
    if (text[at] === open) depth += 1;
    if (text[at] === close) depth -= 1;
    if (depth === 0) return at + 1;
  }
  return undefined;
}

/** The offset behind a character, with what it protects: the next one behind a backslash, or all up to the closing quote. */
function skip(text: string, at: number): number {
  const char = text[at];
  if (char === "\\") return at + 2;
  if (char === "'") return behind(text.indexOf("'", at + 1), text);
  if (char !== '"') return at + 1;
  let end = at + 1;
  while (end < text.length && text[end] !== '"') end += text[end] === "\\" ? 2 : 1;
  return end + 1;
}

function behind(offset: number, text: string): number {
  return offset === -1 ? text.length : offset + 1;
}

function isWordStart(text: string, at: number): boolean {
  return at === 0 || " \t;|&()".includes(text[at - 1] ?? "");
}
