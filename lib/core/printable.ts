/*
 * Makes foreign text (from a Dockerfile, an image, a registry, a command) safe for a terminal. Control characters
 * could move the cursor, change colours or type an answer. Format characters are invisible and could make the text
 * look different, by reversing the direction of writing or by splitting a word.
 */

/**
 * Format characters that stay: joiners, without which some scripts and emoji fall apart, and visible marks (signs
 * before Arabic, Syriac and Kaithi numbers, Egyptian quadrats).
 */
const KEPT_FORMATS = String.raw`\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u200c\u200d\u{110bd}\u{110cd}\u{13430}-\u{1343f}`;

/** All other format characters, and the two that unexpectedly end a line or a paragraph. */
const FORMATS = String.raw`(?![${KEPT_FORMATS}])\p{Cf}|[\u2028\u2029]`;

/** Unsafe characters. Tabs and line ends are harmless. */
const UNSAFE = new RegExp(String.raw`(?![\t\n])\p{Cc}|${FORMATS}`, "gu");

/** Replaces each unsafe character of a text by a mark. */
export function printable(text: string): string {
  return text.replaceAll(UNSAFE, "\ufffd");
}

/** Does the same for one line: for names in rows and tables. */
export function printableLine(text: string): string {
  return printable(text.replaceAll(/\s*[\r\n]\s*/g, " "));
}

/**
 * Escape sequences: `ESC [ ... m` and the like; `ESC ] ... BEL` and other strings up to their end; any other character
 * after an ESC. ECMA-48.
 */
const SEQUENCE =
  // oxlint-disable-next-line no-control-regex -- the pattern must match escape sequences
  /(?:\u001b\[|\u009b)[0-?]*[ -/]*[@-~]?|(?:\u001b[\]PX^_]|[\u0090\u0098\u009d-\u009f])[^\n\u0007\u001b\u009c]*(?:\u0007|\u001b\\|\u009c)?|\u001b[ -/]*[0-~]?/g;

// oxlint-disable-next-line no-control-regex -- the one kind of sequence that stays
const COLOUR = /^\u001b\[[0-9;:]*m$/;

/** Unsafe characters of coloured text. A remaining ESC begins a colour. */
const UNSAFE_IN_COLOURED = new RegExp(String.raw`(?![\t\n\r\u001b])\p{Cc}|${FORMATS}`, "gu");
const UNSAFE_IN_PLAIN = new RegExp(String.raw`(?![\t\n\r])\p{Cc}|${FORMATS}`, "gu");

/**
 * Makes a command's output safe, keeping colours and carriage returns. All other invisible characters are removed. The
 * text must hold whole characters: decode chunks as a stream first.
 */
export function printableOutput(text: string): string {
  const plain = text.replaceAll(SEQUENCE, (sequence) => (COLOUR.test(sequence) ? sequence : ""));
  return plain.replaceAll(UNSAFE_IN_COLOURED, "");
}

/** Does the same and removes colours. */
export function plainOutput(text: string): string {
  return text.replaceAll(SEQUENCE, "").replaceAll(UNSAFE_IN_PLAIN, "");
}

/** Writes a value as JSON that is safe to look at. */
export function printableJson(value: unknown, indent?: number): string {
  return printableDocument(JSON.stringify(value, undefined, indent));
}

/** Escapes the unsafe characters in JSON, which keeps its meaning. */
export function printableDocument(json: string): string {
  return json.replaceAll(UNSAFE, (char) =>
    // Characters above U+FFFF need a pair of escapes.
    Array.from({ length: char.length }, (_, at) => `\\u${char.charCodeAt(at).toString(16).padStart(4, "0")}`).join(""),
  );
}
