import { isUtf8 } from "node:buffer";
import { BuildError } from "./errors.ts";
import { SourceText } from "./span.ts";

/**
 * Decodes a hand-written file. Bytes that are not UTF-8 become U+FFFD, and their places are kept because they only
 * matter outside comments.
 * @param name as shown to people
 * @throws {BuildError} `dockerfile/encoding` for UTF-16 and UTF-32, `dockerfile/other-format` for bytes that are no
 * text at all
 */
export function decodeSource(name: string, bytes: Buffer, kind: "a Dockerfile" | "an ignore file"): SourceText {
  const encoding = wideEncoding(bytes);
  if (encoding !== undefined) {
    throw new BuildError("dockerfile/encoding", `Cannot read ${JSON.stringify(name)}: it is ${encoding}, not UTF-8`, {
      hint: `save it as UTF-8, or convert it: iconv -f ${encoding} -t UTF-8`,
    });
  }
  const format = binaryFormat(bytes);
  if (format !== undefined) {
    throw new BuildError("dockerfile/other-format", `Cannot read ${JSON.stringify(name)} as ${kind}: it is ${format}`, {
      hint: format.endsWith("archive") ? "an archive can be the context: kiln build - < archive" : undefined,
    });
  }
  if (isUtf8(bytes)) return new SourceText(name, bytes.toString("utf8"));
  return new SourceText(name, ...decodeWithMarks(bytes));
}

/** The bytes of U+FFFD itself, which a text may contain. */
const REPLACEMENT = Buffer.from("\ufffd");

function decodeWithMarks(bytes: Buffer): [text: string, undecoded: number[]] {
  const undecoded: number[] = [];
  let text = "";
  for (let start = 0; start <= bytes.length;) {
    const found = bytes.indexOf(REPLACEMENT, start);
    const end = found === -1 ? bytes.length : found;
    const piece = bytes.toString("utf8", start, end);
    for (let at = piece.indexOf("\ufffd"); at !== -1; at = piece.indexOf("\ufffd", at + 1))
      undecoded.push(text.length + at);
    text += found === -1 ? piece : `${piece}\ufffd`;
    start = end + REPLACEMENT.length;
  }
  return [text, undecoded];
}

/**
 * Detects an encoding with more than one byte per character, by its mark or by the zeros beside ASCII. Returns iconv's
 * name for it.
 */
function wideEncoding(bytes: Buffer): string | undefined {
  const [a, b, c, d] = bytes;
  if (a === 0xff && b === 0xfe) return c === 0 && d === 0 ? "UTF-32LE" : "UTF-16LE";
  if (a === 0xfe && b === 0xff) return "UTF-16BE";
  if (a === 0 && b === 0 && c === 0xfe && d === 0xff) return "UTF-32BE";
  const head = bytes.subarray(0, Math.min(bytes.length, 32) & ~1);
  if (head.length < 8) return undefined;
  const isZero = (parity: number): boolean => head.every((byte, at) => at % 2 !== parity || byte === 0);
  const isText = (parity: number): boolean => head.every((byte, at) => at % 2 !== parity || byte !== 0);
  if (isZero(1) && isText(0)) return "UTF-16LE";
  return isZero(0) && isText(1) ? "UTF-16BE" : undefined;
}

const FORMATS: readonly { readonly start: string; readonly offset?: number; readonly name: string }[] = [
  { start: "\x7fELF", name: "an ELF program" },
  { start: "MZ\x90\x00", name: "a Windows program" },
  { start: "\x1f\x8b", name: "a gzip archive" },
  { start: "BZh", name: "a bzip2 archive" },
  { start: "\xfd7zXZ\x00", name: "an xz archive" },
  { start: "\x28\xb5\x2f\xfd", name: "a zstd archive" },
  { start: "PK\x03\x04", name: "a zip archive" },
  { start: "ustar", offset: 257, name: "a tar archive" },
  { start: "\x89PNG", name: "a picture" },
  { start: "\xff\xd8\xff", name: "a picture" },
  { start: "%PDF-", name: "a PDF document" },
  { start: "SQLite format 3\x00", name: "a database" },
];

function binaryFormat(bytes: Buffer): string | undefined {
  const head = bytes.toString("latin1", 0, 512);
  const found = FORMATS.find(({ start, offset = 0 }) => head.startsWith(start, offset))?.name;
  // oxlint-disable-next-line no-control-regex -- characters that no text holds in numbers
  const controls = head.match(/[\x00-\x06\x0e-\x1a\x1c-\x1f]/g)?.length ?? 0;
  return found ?? (controls > 4 && controls * 10 > head.length ? "binary data" : undefined);
}
