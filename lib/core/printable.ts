/*
 * Texts that others wrote (a Dockerfile, an image, a registry, a command) on somebody's terminal. Control characters could move
 * the cursor, change colours or type an answer; format characters are not seen themselves and could show another text than
 * the one that is there, by turning the direction of writing round or by being in the middle of a word.
 */

/**
 * Format characters that are let through: joiners, without which some scripts and pictures fall apart, and marks that are seen
 * (signs in front of Arabic, Syriac and Kaithi numbers, Egyptian quadrats).
 */
const KEPT_FORMATS = String.raw`\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u200c\u200d\u{110bd}\u{110cd}\u{13430}-\u{1343f}`;

/** All other format characters, and the two that end a line or a paragraph where nobody expects it. */
const FORMATS = String.raw`(?![${KEPT_FORMATS}])\p{Cf}|[\u2028\u2029]`;

/** Without tabs and line ends, which are harmless. */
const UNSAFE = new RegExp(String.raw`(?![\t\n])\p{Cc}|${FORMATS}`, "gu");

/** The text with a mark in place of each character that does more than being shown. */
export function printable(text: string): string {
  return text.replaceAll(UNSAFE, "\ufffd");
}

/** The same in one line: for names, which stand in rows and tables. */
export function printableLine(text: string): string {
  return printable(text.replaceAll(/\s*[\r\n]\s*/g, " "));
}

/** `ESC [ ... m` and the like; `ESC ] ... BEL` and other strings up to their end; anything else behind an ESC. ECMA-48. */
const SEQUENCE =
  // oxlint-disable-next-line no-control-regex -- escape sequences are what is looked for
  /(?:\u001b\[|\u009b)[0-?]*[ -/]*[@-~]?|(?:\u001b[\]PX^_]|[\u0090\u0098\u009d-\u009f])[^\n\u0007\u001b\u009c]*(?:\u0007|\u001b\\|\u009c)?|\u001b[ -/]*[0-~]?/g;

// oxlint-disable-next-line no-control-regex -- the one kind of sequence that is let through
const COLOUR = /^\u001b\[[0-9;:]*m$/;

/** The ESC that is left begins a colour. */
const UNSAFE_IN_COLOURED = new RegExp(String.raw`(?![\t\n\r\u001b])\p{Cc}|${FORMATS}`, "gu");
const UNSAFE_IN_PLAIN = new RegExp(String.raw`(?![\t\n\r])\p{Cc}|${FORMATS}`, "gu");

/**
 * A command's output, which may be coloured: everything else that is not seen is left out. Carriage returns stay. The text is
 * to hold whole characters: what comes in chunks is decoded as a stream before.
 */
export function printableOutput(text: string): string {
  const plain = text.replaceAll(SEQUENCE, (sequence) => (COLOUR.test(sequence) ? sequence : ""));
  return plain.replaceAll(UNSAFE_IN_COLOURED, "");
}

/** The same without colours. */
export function plainOutput(text: string): string {
  return text.replaceAll(SEQUENCE, "").replaceAll(UNSAFE_IN_PLAIN, "");
}

/** A value as JSON that can be looked at. */
export function printableJson(value: unknown, indent?: number): string {
  return printableDocument(JSON.stringify(value, undefined, indent));
}

/** JSON with escapes for the characters that are not to be shown, which means the same. */
export function printableDocument(json: string): string {
  return json.replaceAll(UNSAFE, (char) =>
    // In pairs where one is needed.
    Array.from({ length: char.length }, (_, at) => `\\u${char.charCodeAt(at).toString(16).padStart(4, "0")}`).join(""),
  );
}
