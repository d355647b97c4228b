/*
 * Texts that others wrote (a Dockerfile, an image, a registry, a command) on somebody's terminal. Control characters could move
 * the cursor, change colours or type an answer; those that turn the direction of writing round could show another text than
 * the one that is there.
 */

/** Without tabs and line ends, which are harmless. */
const UNSAFE = /(?![\t\n])[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu;

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

/** A command's output, which may be coloured: everything else is left out. Carriage returns stay. */
export function printableOutput(text: string): string {
  const plain = text.replaceAll(SEQUENCE, (sequence) => (COLOUR.test(sequence) ? sequence : ""));
  // oxlint-disable-next-line no-control-regex -- what is left of it begins a colour
  return plain.replaceAll(/(?![\t\n\r\u001b])\p{Cc}/gu, "");
}

/** The same without colours. */
export function plainOutput(text: string): string {
  return text.replaceAll(SEQUENCE, "").replaceAll(/(?![\t\n\r])\p{Cc}/gu, "");
}
