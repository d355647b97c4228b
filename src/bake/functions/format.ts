import { isList, isMap, numberText, toBool, toJson, toNumber, toText, typeName, type Value } from "../hcl/value.ts";
import { callFailure } from "./args.ts";

const VERB = /%([-+# 0]*)(\d+|\*)?(?:\.(\d+|\*))?(?:\[(\d+)\])?([a-zA-Z%])/g;

/** Formats as Go's printf: %s %q %d %v %#v %t %f %e %g %b %o %x %X, with flags, width, precision and `[n]`. */
export function formatText(pattern: string, values: readonly Value[]): string {
  let next = 0;
  const take = (): Value => {
    const value = values[next];
    if (value === undefined) throw callFailure(`the pattern asks for more than ${values.length} values`);
    next += 1;
    return value;
  };
  let hasIndex = false;
  const text = pattern.replace(VERB, (...match: readonly unknown[]) => {
    const [whole = "", flags = "", width, precision, index, verb = ""] = match.map((part) =>
      typeof part === "string" ? part : undefined,
    );
    if (verb === "%") return "%";
    const columns = width === "*" ? (toNumber(take()) ?? 0) : Number(width ?? 0);
    const digits =
      precision === "*" ? (toNumber(take()) ?? 0) : precision === undefined ? undefined : Number(precision);
    if (columns > 10_000 || (digits ?? 0) > 100) throw callFailure(`${whole} is too wide`);
    if (index !== undefined) {
      next = Number(index) - 1;
      hasIndex = true;
    }
    return pad(verbText(verb, take(), flags, digits), columns, flags, verb);
  });
  if (!hasIndex && next < values.length) throw callFailure(`the pattern uses ${next} of ${values.length} values`);
  return text;
}

function pad(text: string, columns: number, flags: string, verb: string): string {
  if (flags.includes("-")) return text.padEnd(columns);
  if (!flags.includes("0") || !"dfegGbox".includes(verb.toLowerCase())) return text.padStart(columns);
  const sign = /^[+-]/.exec(text)?.[0] ?? "";
  return sign + text.slice(sign.length).padStart(columns - sign.length, "0");
}

function verbText(verb: string, value: Value, flags: string, precision: number | undefined): string {
  switch (verb) {
    case "v":
      if (flags.includes("#")) return toJson(value);
      return value === null ? "null" : (toText(value) ?? toJson(value));
    case "s":
    case "q": {
      const text = toText(value) ?? refuse(verb, value);
      const cut = precision === undefined ? text : Array.from(text).slice(0, precision).join("");
      return verb === "q" ? JSON.stringify(cut) : cut;
    }
    case "t":
      return String(toBool(value) ?? refuse(verb, value));
    default:
      return numberVerb(verb, toNumber(value) ?? refuse(verb, value), flags, precision);
  }
}

function numberVerb(verb: string, number: number, flags: string, precision: number | undefined): string {
  const sign = number >= 0 && flags.includes("+") ? "+" : number >= 0 && flags.includes(" ") ? " " : "";
  switch (verb) {
    case "d":
      return sign + numberText(Math.trunc(number));
    case "b":
      return sign + Math.trunc(number).toString(2);
    case "o":
      return sign + Math.trunc(number).toString(8);
    case "x":
      return sign + Math.trunc(number).toString(16);
    case "X":
      return sign + Math.trunc(number).toString(16).toUpperCase();
    case "f":
    case "F":
      return sign + number.toFixed(precision ?? 6);
    case "e":
    case "E": {
      const text = number.toExponential(precision ?? 6).replace(/e([+-])(\d)$/, "e$10$2");
      return sign + (verb === "E" ? text.toUpperCase() : text);
    }
    case "g":
    case "G":
      return sign + (precision === undefined ? numberText(number) : String(Number(number.toPrecision(precision || 1))));
    default:
      throw callFailure(`there is no verb %${verb}`);
  }
}

function refuse(verb: string, value: Value): never {
  const what = isList(value) || isMap(value) ? "; jsonencode() makes a text of it" : "";
  throw callFailure(`%${verb} does not take a ${typeName(value)}${what}`);
}
