import { csvFields } from "../../../lib/core/csv.ts";
import { mapOf, toJson, type Value } from "../hcl/value.ts";
import { Args, callFailure, define, type NativeFunction } from "./args.ts";
import { formatText } from "./format.ts";
import { goPattern, goReplacement } from "./go-regex.ts";

const ANY = Number.POSITIVE_INFINITY;
const ofText = (run: (text: string) => Value): NativeFunction => define(1, 1, (args) => run(args.text(0)));

/** Functions of texts. Lengths and places count what a reader sees as one character. */
export const TEXT_FUNCTIONS: Readonly<Record<string, NativeFunction>> = {
  basename: ofText((path) => path.replace(/\/+$/, "").split("/").at(-1) || (path === "" ? "." : "/")),
  dirname: ofText(directoryOf),
  homedir: define(0, 0, (_args, host) => host.homeDirectory),
  byteslen: ofText((text) => Buffer.byteLength(text)),
  bytesslice: define(3, 3, (args) => {
    const bytes = Buffer.from(args.text(0));
    const [offset, length] = [args.whole(1), args.whole(2)];
    if (offset < 0 || length < 0 || offset + length > bytes.length)
      throw callFailure(`there are ${bytes.length} bytes`);
    return bytes.subarray(offset, offset + length).toString();
  }),
  chomp: ofText((text) => text.replace(/[\r\n]+$/, "")),
  csvdecode: ofText(csvTable),
  format: define(1, ANY, (args) => formatText(args.text(0), args.values.slice(1))),
  formatlist: define(1, ANY, formatList),
  indent: define(2, 2, (args) => args.text(1).replaceAll("\n", `\n${" ".repeat(spaces(args.whole(0)))}`)),
  join: define(1, ANY, (args) =>
    args.values
      .slice(1)
      .flatMap((_, index) => args.texts(index + 1))
      .join(args.text(0)),
  ),
  jsonencode: define(1, 1, (args) => toJson(args.any(0))),
  lower: ofText((text) => text.toLowerCase()),
  upper: ofText((text) => text.toUpperCase()),
  title: ofText((text) =>
    text.replaceAll(
      /(^|[^\p{L}\p{N}_'])(\p{L})/gu,
      (_, before: string, letter: string) => before + letter.toUpperCase(),
    ),
  ),
  regex: define(2, 2, (args) => {
    const found = goPattern(args.text(0), "").exec(args.text(1));
    if (found === null) throw callFailure("the pattern matches nowhere");
    return matchValue(found);
  }),
  regexall: define(2, 2, (args) => [...args.text(1).matchAll(goPattern(args.text(0), "g"))].map(matchValue)),
  regex_replace: define(3, 3, (args) =>
    args.text(0).replace(goPattern(args.text(1), "g"), goReplacement(args.text(2))),
  ),
  replace: define(3, 3, (args) => args.text(0).split(args.text(1)).join(args.text(2))),
  reverse: ofText((text) => characters(text).toReversed().join("")),
  sanitize: ofText((text) => text.replaceAll(/[^a-zA-Z0-9_-]/gu, "_")),
  split: define(2, 2, (args) => (args.text(0) === "" ? characters(args.text(1)) : args.text(1).split(args.text(0)))),
  strlen: ofText((text) => characters(text).length),
  substr: define(3, 3, (args) => substring(args.text(0), args.whole(1), args.whole(2))),
  trim: define(2, 2, (args) => trimSet(args.text(0), args.text(1))),
  trimprefix: define(2, 2, (args) => {
    const [text, prefix] = [args.text(0), args.text(1)];
    return text.startsWith(prefix) ? text.slice(prefix.length) : text;
  }),
  trimsuffix: define(2, 2, (args) => {
    const [text, suffix] = [args.text(0), args.text(1)];
    return text.endsWith(suffix) ? text.slice(0, text.length - suffix.length) : text;
  }),
  trimspace: ofText((text) => text.trim()),
};

const SEGMENTS = new Intl.Segmenter("en", { granularity: "grapheme" });

function characters(text: string): string[] {
  return Array.from(SEGMENTS.segment(text), ({ segment }) => segment);
}

function spaces(count: number): number {
  if (count < 0 || count > 10_000) throw callFailure(`${count} spaces`);
  return count;
}

function directoryOf(path: string): string {
  const parts = path.split("/").slice(0, -1);
  const isAbsolute = path.startsWith("/");
  const kept: string[] = [];
  for (const part of parts) {
    if (part === "" || part === ".") continue;
    if (part === ".." && kept.length > 0 && kept.at(-1) !== "..") kept.pop();
    else if (part !== ".." || !isAbsolute) kept.push(part);
  }
  return `${isAbsolute ? "/" : ""}${kept.join("/")}` || ".";
}

function substring(text: string, offset: number, length: number): string {
  const all = characters(text);
  const start = offset < 0 ? Math.max(0, all.length + offset) : offset;
  return all.slice(start, length < 0 ? undefined : start + length).join("");
}

function trimSet(text: string, set: string): string {
  const signs = new Set(set);
  const all = Array.from(text);
  const start = all.findIndex((sign) => !signs.has(sign));
  if (start === -1) return "";
  return all.slice(start, all.findLastIndex((sign) => !signs.has(sign)) + 1).join("");
}

function matchValue(found: RegExpExecArray): Value {
  const { groups } = found;
  if (groups !== undefined) return mapOf(Object.entries(groups).map(([name, text]) => [name, text ?? null] as const));
  return found.length === 1 ? found[0] : found.slice(1).map((text) => text ?? null);
}

function csvTable(text: string): Value {
  const [header, ...rows] = text
    .replace(/\r?\n$/, "")
    .split(/\r?\n/)
    .map((line) => csvFields(line));
  if (header === undefined) throw callFailure("there is no header");
  return rows.map((row) => {
    if (row.length !== header.length)
      throw callFailure(`a row has ${row.length} fields, and the header ${header.length}`);
    return mapOf(header.map((name, index) => [name, row[index] ?? ""] as const));
  });
}

/** Formats once for each element of the lists; other arguments are the same each time. */
function formatList(args: Args): Value {
  const [pattern = null, ...rest] = args.values;
  const lengths = rest.flatMap((value) => (Array.isArray(value) ? [value.length] : []));
  const [count = 1] = lengths;
  if (lengths.some((length) => length !== count)) throw callFailure("the lists have different lengths");
  return Array.from({ length: count }, (_, index) =>
    formatText(
      new Args([pattern]).text(0),
      rest.map((value, place) => (Array.isArray(value) ? (new Args(rest).list(place)[index] ?? null) : value)),
    ),
  );
}
