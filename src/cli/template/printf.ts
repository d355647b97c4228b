import { goQuote, goText } from "./go-text.ts";
import { type Value, isList, isMap, isStruct, typeName } from "./value.ts";

/** Maximum padding or precision: a typed width must not decide how much memory is used. */
const MAX_WIDTH = 10_000;

const VERB = /%([-+# 0]*)(\*|\d+)?(?:\.(\*|\d+)?)?([%a-zA-Z])?/g;

interface Layout {
  readonly flags: string;
  readonly width: number;
  readonly precision: number | undefined;
}

/** Formats as Go's `printf` does, with its own words for verbs that do not fit (`%!d(string=x)`). */
export function printf(format: string, values: readonly Value[]): string {
  let index = 0;
  const number = (text: string | undefined): number | undefined => {
    const value = text === "*" ? values[index++] : text;
    return value === undefined ? undefined : Math.min(MAX_WIDTH, Number(value) || 0);
  };
  const text = format.replaceAll(VERB, (whole, flags: string, width?: string, precision?: string, verb?: string) => {
    if (verb === "%") return "%";
    if (verb === undefined) return "%!(NOVERB)";
    const given = number(width) ?? 0;
    const isPrecise = whole.includes(".");
    const layout = {
      flags: given < 0 ? `${flags}-` : flags,
      width: Math.abs(given),
      precision: number(precision) ?? (isPrecise ? 0 : undefined),
    };
    if (index >= values.length) return `%!${verb}(MISSING)`;
    return padded(formatted(verb, values[index++], layout), layout);
  });
  const extra = values.slice(index).map((value) => `${typeName(value)}=${goText(value)}`);
  return extra.length === 0 ? text : `${text}%!(EXTRA ${extra.join(", ")})`;
}

function formatted(verb: string, value: Value, layout: Layout): string {
  const made = verb === "v" ? goText(value) : verb === "T" ? typeName(value) : byType(verb, value, layout);
  if (value === undefined || value === null) return made ?? `%!${verb}(<nil>)`;
  return made ?? `%!${verb}(${typeName(value)}=${goText(value)})`;
}

function byType(verb: string, value: Value, layout: Layout): string | undefined {
  if (isList(value)) {
    const items = value.map((item) => formatted(verb, item, layout));
    return verb === "s" || verb === "q" || verb === "d" ? `[${items.join(" ")}]` : undefined;
  }
  if (isMap(value) || isStruct(value)) return verb === "s" ? goText(value) : undefined;
  if (typeof value === "string") return ofText(verb, value, layout.precision);
  if (typeof value === "boolean") return verb === "t" ? String(value) : undefined;
  return typeof value === "number" ? ofNumber(verb, value, layout) : undefined;
}

function ofText(verb: string, value: string, precision: number | undefined): string | undefined {
  const cut = precision === undefined ? value : Array.from(value).slice(0, precision).join("");
  if (verb === "s") return cut;
  if (verb === "q") return goQuote(cut);
  const hex = Buffer.from(cut).toString("hex");
  return verb === "x" ? hex : verb === "X" ? hex.toUpperCase() : undefined;
}

function ofNumber(verb: string, value: number, { flags, precision }: Layout): string | undefined {
  const sign = value < 0 ? "-" : flags.includes("+") ? "+" : flags.includes(" ") ? " " : "";
  const size = Math.abs(value);
  const radix = { d: 10, x: 16, X: 16, o: 8, b: 2 }[verb];
  if (radix !== undefined) {
    if (!Number.isInteger(value)) return undefined;
    const prefix = flags.includes("#") ? ({ x: "0x", X: "0X", o: "0", b: "0b" }[verb] ?? "") : "";
    const digits = size.toString(radix).padStart(precision ?? 0, "0");
    return sign + prefix + (verb === "X" ? digits.toUpperCase() : digits);
  }
  if (verb === "c") return String.fromCodePoint(size);
  if (verb === "q") return `'${String.fromCodePoint(size)}'`;
  if (verb === "f" || verb === "F") return sign + size.toFixed(Math.min(precision ?? 6, 100));
  if (verb === "e") return sign + size.toExponential(Math.min(precision ?? 6, 100)).replace(/e([+-])(\d)$/, "e$10$2");
  return verb === "g"
    ? sign + String(precision === undefined ? size : Number(size.toPrecision(precision || 1)))
    : undefined;
}

function padded(text: string, { flags, width }: Layout): string {
  const missing = width - Array.from(text).length;
  if (missing <= 0) return text;
  if (flags.includes("-")) return text + " ".repeat(missing);
  const isZero = flags.includes("0") && /^[+-]?[\d.]+$/.test(text);
  if (!isZero) return " ".repeat(missing) + text;
  const sign = /^[+-]/.exec(text)?.[0] ?? "";
  return sign + "0".repeat(missing) + text.slice(sign.length);
}
