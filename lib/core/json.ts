/**
 * A value that JSON can carry unchanged. Everything that is digested or stored is declared with `type` and made of
 * these.
 */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json | undefined };

/**
 * Writes JSON with object keys sorted by code unit and no spaces, so equal values give equal bytes on every machine.
 * Members that are `undefined` are left out, as JSON.stringify does.
 */
export function canonicalJson(value: Json): string {
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (isList(value)) {
    // A fast path for environments and arguments: they are long and many, and the text is the same either way.
    if (value.every(isText)) return JSON.stringify(value);
    let items = "";
    for (const item of value) items += `${items === "" ? "" : ","}${canonicalJson(item)}`;
    return `[${items}]`;
  }
  let members = "";
  // sort() without a comparator goes by UTF-16 code unit. localeCompare would go by the machine's locale.
  // oxlint-disable-next-line unicorn/no-array-sort -- the array is our own, and a vertex is made of many small objects
  for (const key of Object.keys(value).sort()) {
    const member = value[key];
    if (member === undefined) continue;
    members += `${members === "" ? "" : ","}${quotedKey(key)}:${canonicalJson(member)}`;
  }
  return `{${members}}`;
}

/** Quotes a key. Nearly all keys are names of ours, which need no escapes. */
function quotedKey(key: string): string {
  return /^\w+$/.test(key) ? `"${key}"` : JSON.stringify(key);
}

function isText(value: Json): value is string {
  return typeof value === "string";
}

/** Parses JSON; `undefined` when the text is not JSON, so that callers can report what they were reading. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

// Array.isArray does not narrow readonly arrays out of a union.
function isList(value: Json): value is readonly Json[] {
  return Array.isArray(value);
}
