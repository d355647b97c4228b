/** The reason why a build failed, as far as two builders can be compared. */
export interface Failure {
  /** BuildKit's sentence, or kiln's whole output. */
  readonly text: string;
  /** Lines of the Dockerfile, from 1. Empty when the error is not in the file. */
  readonly lines: readonly number[];
}

/** Extracts the message after the engine's own words, and the lines that its excerpt marks. */
export function buildkitFailure(output: string): Failure {
  const [, text = output] = /^ERROR: (?:failed to build: )?(?:failed to solve: )?([\s\S]*)$/m.exec(output) ?? [];
  const marked = [...output.matchAll(/^ *(\d+) \| >>> /gm)].map(([, line]) => Number(line));
  return { text: text.trim(), lines: marked };
}

export function kilnFailure(output: string): Failure {
  const text = output.slice(Math.max(output.search(/^error/m), 0)).trim();
  return { text, lines: [...output.matchAll(/^ +--> .*Dockerfile:(\d+)/gm)].map(([, line]) => Number(line)) };
}

/**
 * Lists facts that BuildKit reports and kiln does not. kiln may word messages better and report several errors:
 * BuildKit's line must be among its lines, and its text must contain the names, flags and numbers that BuildKit
 * repeats.
 */
export function failureDifferences(mine: Failure, theirs: Failure): string[] {
  const missing = essentials(theirs.text).filter((word) => !mine.text.includes(word));
  const first = theirs.lines[0];
  const isElsewhere = first !== undefined && !mine.lines.some((line) => theirs.lines.includes(line));
  return [
    ...(isElsewhere
      ? [`  error on line ${mine.lines.join(", ") || "(none)"}, buildkit: ${theirs.lines.join(", ")}`]
      : []),
    ...(missing.length > 0 ? [`  error does not say ${missing.join(" ")}`] : []),
  ];
}

/** Extracts flags and words in quotes. Each builder names a failed command in its own way. */
function essentials(text: string): string[] {
  if (/^process ".*" did not complete/.test(text)) return [...text.matchAll(/exit code: \d+/g)].map(([whole]) => whole);
  const found = text.matchAll(/"((?:[^"\\]|\\.)+)"|'([^']+)'|(--[a-z-]+)/g);
  const words = [...found].map(([, double, single, flag]) => unescaped(double) ?? single ?? flag ?? "");
  // Paths are compared as written, without the root. Names that BuildKit garbles, and the host it asked, are not
  // compared.
  return words
    .filter((word) => !word.includes("\\x") && !word.startsWith("http"))
    .map((word) => word.replace(/^\//, ""));
}

function unescaped(quoted: string | undefined): string | undefined {
  return quoted?.replaceAll(/\\(["\\])/g, "$1");
}
