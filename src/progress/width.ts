import { eastAsianWidth } from "get-east-asian-width";

/** Text that is as wide as it is long: no character is wide, invisible or made of several. */
// oxlint-disable-next-line no-control-regex -- the range is that of ASCII
const NARROW = /^[\u0000-\u007f]*$/;
/** Characters that take no column of their own. */
const INVISIBLE = /^(?:\p{Mn}|\p{Me}|\p{Cf}|\p{Cc})+$/u;
/** Clusters that terminals draw as one picture of two columns. */
const PICTURE = /\p{Emoji_Presentation}|\ufe0f|\u20e3|\p{Regional_Indicator}{2}/u;

/** Returns the columns that a terminal needs for one line of text. Colours must have been removed. */
export function textWidth(text: string): number {
  if (NARROW.test(text)) return text.length;
  let width = 0;
  for (const { segment } of clusters(text)) width += clusterWidth(segment);
  return width;
}

/** Cuts a line to a number of columns, with dots where something is missing. No character is cut in two. */
export function fit(text: string, columns: number): string {
  // A tab would break the layout.
  const flat = text.replaceAll("\t", " ");
  if (textWidth(flat) <= columns) return flat;
  const dots = ".".repeat(Math.max(0, Math.min(3, columns)));
  const room = columns - dots.length;
  let width = 0;
  let kept = "";
  for (const { segment } of clusters(flat)) {
    width += clusterWidth(segment);
    if (width > room) break;
    kept += segment;
  }
  return kept + dots;
}

/** Fills a line with blanks up to a number of columns. */
export function pad(text: string, columns: number): string {
  return text + " ".repeat(Math.max(0, columns - textWidth(text)));
}

/** Iterates over what a reader takes for one character. */
function clusters(text: string): Iterable<{ readonly segment: string }> {
  return new Intl.Segmenter("en", { granularity: "grapheme" }).segment(text);
}

function clusterWidth(cluster: string): number {
  if (INVISIBLE.test(cluster)) return 0;
  if (PICTURE.test(cluster)) return 2;
  return eastAsianWidth(cluster.codePointAt(0) ?? 0);
}
