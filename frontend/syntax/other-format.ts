import { isRecord, parseJson } from "../../lib/core/json.ts";

/** A format other than a Dockerfile: its name and advice for the user. */
export interface OtherFormat {
  /** `a compose file` */
  readonly name: string;
  readonly hint: string | undefined;
}

const NAMED_INSIDE = "name the Dockerfile itself with -f: the file says which one it is";

/**
 * Guesses the format of a text with errors; `undefined` when it may well be meant as a Dockerfile. The guess rests on a
 * few marks of each format at the beginning of lines.
 */
export function otherFormat(text: string): OtherFormat | undefined {
  const start = text.slice(0, MAX_LOOKED_AT).replace(/^\ufeff/, "");
  if (/^\s*<(?:!doctype\s+html|html)\b/i.test(start))
    return {
      name: "an HTML page",
      hint: "a URL has to lead to the file itself, not to a page that shows it; the address of a repository ends in .git",
    };
  if (/^\s*<\?xml\b/.test(start)) return { name: "an XML file", hint: undefined };
  if (/^\s*[{[]/.test(start)) return jsonFormat(text);
  if (/^[ \t]*FROM[ \t]/im.test(start)) return undefined;
  if (/^(?:target|group|variable|function)\s+"[^"]*"\s*\{/m.test(start))
    return { name: "a bake file", hint: NAMED_INSIDE };
  const script = /^#![ \t]*(\S+)(?:[ \t]+(\S+))?/.exec(start);
  if (script !== null) return { name: `a script for ${script[2] ?? script[1] ?? ""}`, hint: undefined };
  if (/^\.PHONY\s*:|^[\w./%$()-]+\s*:(?![=:]).*\n\t/m.test(start)) return { name: "a Makefile", hint: undefined };
  if (isYaml(start)) return yamlFormat(start);
  return undefined;
}

/** Limit of the search for marks, in UTF-16 code units. */
const MAX_LOOKED_AT = 65_536;

function jsonFormat(text: string): OtherFormat | undefined {
  const json = parseJson(text);
  if (json === undefined) return undefined;
  if (isRecord(json) && isRecord(json["services"])) return { name: "a compose file", hint: NAMED_INSIDE };
  if (isRecord(json) && isRecord(json["target"])) return { name: "a bake file", hint: NAMED_INSIDE };
  return { name: "a JSON file", hint: undefined };
}

/** Tells whether the first line with content is a key, a list's element or the mark of a document. */
function isYaml(text: string): boolean {
  const first = text.split("\n").find((line) => line.trim() !== "" && !line.startsWith("#"));
  return first !== undefined && /^(?:---|- \S|["']?[A-Za-z_][\w.-]*["']?:(?:\s|$))/.test(first);
}

function yamlFormat(text: string): OtherFormat {
  if (/^services:/m.test(text)) return { name: "a compose file", hint: NAMED_INSIDE };
  if (/^apiVersion:/m.test(text)) return { name: "a Kubernetes manifest", hint: undefined };
  return { name: "a YAML file", hint: undefined };
}
