/** Why a build failed, as far as two builders can be compared. */
export interface Failure {
  /** BuildKit's sentence, or all that kiln says. */
  readonly text: string;
  /** Lines of the Dockerfile, counted from 1. Empty where none is to blame. */
  readonly lines: readonly number[];
}

/** The message after the engine's own words, and the lines that its excerpt marks. */
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
 * What kiln does not say and BuildKit does. Sentences may be better than theirs, and more than one error may be told: the
 * line must be among them, and the names, flags and numbers that BuildKit repeats must be in the text.
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

/** Words in quotes and flags. A command that failed is named in each builder's own way. */
function essentials(text: string): string[] {
  if (/^process ".*" did not complete/.test(text)) return [...text.matchAll(/exit code: \d+/g)].map(([whole]) => whole);
  const found = text.matchAll(/"((?:[^"\\]|\\.)+)"|'([^']+)'|(--[a-z-]+)/g);
  const words = [...found].map(([, double, single, flag]) => unescaped(double) ?? single ?? flag ?? "");
  // Paths are named as they are written, without the root; what BuildKit itself garbles, and where it asked, is not looked for.
  return words
    .filter((word) => !word.includes("\\x") && !word.startsWith("http"))
    .map((word) => word.replace(/^\//, ""));
}

function unescaped(quoted: string | undefined): string | undefined {
  return quoted?.replaceAll(/\\(["\\])/g, "$1");
}
