import { isRecord, parseJson } from "../../lib/core/json.ts";

/** A file that is no Dockerfile: what it seems to be, and what to do instead. */
export interface OtherFormat {
  /** `a compose file` */
  readonly name: string;
  readonly hint: string | undefined;
}

const NAMED_INSIDE = "name the Dockerfile itself with -f: the file says which one it is";

/**
 * Guesses what a text with errors is; `undefined` when it may well be meant as a Dockerfile.
 * A few marks of each format are looked for, at the beginning of lines.
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

/** UTF-16 code units: marks further down are not looked for. */
const MAX_LOOKED_AT = 65_536;

function jsonFormat(text: string): OtherFormat | undefined {
  const json = parseJson(text);
  if (json === undefined) return undefined;
  if (isRecord(json) && isRecord(json["services"])) return { name: "a compose file", hint: NAMED_INSIDE };
  if (isRecord(json) && isRecord(json["target"])) return { name: "a bake file", hint: NAMED_INSIDE };
  return { name: "a JSON file", hint: undefined };
}

/** The first line that says something is a key, a list's element or the mark of a document. */
function isYaml(text: string): boolean {
  const first = text.split("\n").find((line) => line.trim() !== "" && !line.startsWith("#"));
  return first !== undefined && /^(?:---|- \S|["']?[A-Za-z_][\w.-]*["']?:(?:\s|$))/.test(first);
}

function yamlFormat(text: string): OtherFormat {
  if (/^services:/m.test(text)) return { name: "a compose file", hint: NAMED_INSIDE };
  if (/^apiVersion:/m.test(text)) return { name: "a Kubernetes manifest", hint: undefined };
  return { name: "a YAML file", hint: undefined };
}
