import { type Fields, paragraphs } from "./fields.ts";
import type { ImageReader } from "./image-reader.ts";
import { isLicenseExpression, spdxId } from "./licenses.ts";

const MAX_COPYRIGHT_BYTES = 2 << 20;
/** Limit of a license's short name; longer lines are the license itself. */
const MAX_NAME = 80;
/** Limit of the names of one package together. */
const MAX_NAMES = 480;

/**
 * Reads what a package's copyright file says of its licenses: an expression of SPDX identifiers where all are known, else Debian's own
 * words. `undefined` where there is no such file, or where it names none.
 * @see https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
 */
export function debianLicense(reader: ImageReader, name: string): string | undefined {
  // A name leads nowhere else, whatever the database of the image says.
  if (!/^[a-z0-9][a-z0-9+.-]*$/i.test(name)) return undefined;
  const bytes = reader.read(`usr/share/doc/${name}/copyright`, MAX_COPYRIGHT_BYTES);
  if (bytes === undefined) return undefined;
  const text = bytes.toString("utf8");
  return /^Format(?:-Specification)?:/m.test(text.slice(0, 4096)) ? fromFields(text) : fromProse(text);
}

/** Joins the short names of all parts of the package. Paragraphs without files only give the texts of licenses. */
function fromFields(text: string): string | undefined {
  const all = [...paragraphs(text)];
  const own = all.filter((fields, index) => index === 0 || fields.has("Files"));
  const names = namesOf(own);
  return joined(names.length > 0 ? names : namesOf(all));
}

function namesOf(parts: readonly Fields[]): readonly string[] {
  const names = parts.flatMap((fields) => fields.get("License") ?? []);
  return [...new Set(names)].filter((name) => /^[\w.+,/() -]+$/.test(name) && name.length <= MAX_NAME);
}

/** Finds the licenses that a text without a form refers to. It does not say "or later" in a way that can be read. */
function fromProse(text: string): string | undefined {
  const found = [...text.matchAll(/\/usr\/share\/common-licenses\/([A-Za-z0-9]+(?:[.-][A-Za-z0-9]+)*)/g)];
  const names = [...new Set(found.map(([, name = ""]) => name))];
  return names.length === 0 ? undefined : limited(names, ", ");
}

function joined(names: readonly string[]): string | undefined {
  if (names.length === 0) return undefined;
  const expressions = names.map((name) => expressionOf(name));
  const known = expressions.filter((one) => one !== undefined);
  const whole = [...new Set(known)].map((one, _, { length }) => (length > 1 && / OR /.test(one) ? `(${one})` : one));
  const expression = whole.join(" AND ");
  if (known.length === names.length && expression.length <= MAX_NAMES) return expression;
  return limited(names, ", ");
}

/** Translates `GPL-2+ or Expat`; `undefined` for what has other words than those of well-known licenses. */
function expressionOf(name: string): string | undefined {
  const words = name.split(/\s+/).map((word) => (/^(?:and|or)$/i.test(word) ? word.toUpperCase() : spdxId(word)));
  const text = words.join(" ");
  return words.includes(undefined) || !isLicenseExpression(text) ? undefined : text;
}

function limited(names: readonly string[], separator: string): string {
  const kept: string[] = [];
  let length = 0;
  for (const name of names) {
    length += name.length + separator.length;
    if (length > MAX_NAMES) return [...kept, "others"].join(separator);
    kept.push(name);
  }
  return kept.join(separator);
}
