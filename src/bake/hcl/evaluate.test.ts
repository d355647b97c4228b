import { expect, test } from "vitest";
import { BuildError } from "../../../lib/core/errors.ts";
import { SourceText } from "../../../lib/core/span.ts";
import { evaluateDefinition } from "../definition.ts";
import { parseHcl } from "./parse.ts";
import { toJson } from "./value.ts";

const HOST = {
  lookup: () => undefined,
  builtin: new Map<string, string>(),
  nowMs: () => 0,
  uuid: () => "u",
  homeDirectory: "/home/me",
};

/** The value of an expression, as JSON. */
function valueOf(expression: string): string {
  const file = `variable "n" { default = 3 }
variable "o" { default = { b = 1, a = "x", list = [{ v = 1 }, { v = 2 }] } }
result = ${expression}
target "t" { args = { r = jsonencode(result) } }
function "inc" {
  params = [x]
  variadic_params = rest
  result = x + length(rest) + n
}
`;
  const [target] = evaluateDefinition([parseHcl(new SourceText("x.hcl", file))], HOST).targets;
  const args = target?.fields.get("args");
  return args instanceof Map ? String(args.get("r")) : "";
}

// Results of docker buildx bake 0.29.
test.each([
  ["1 + 2 * 3", "7"],
  ["(1 + 2) * 3", "9"],
  ["-5 % 3", "-2"],
  ["7 / 2", "3.5"],
  ['"a" == 1', "false"],
  ["!true || n > 2 && n <= 3", "true"],
  ['1 > 0 ? 1 : "a"', '"1"'],
  ['n != null ? "v${n}" : "${null}x"', '"v3"'],
  ["o.list[*].v", "[1,2]"],
  ["o.list.*.v", "[1,2]"],
  ['[for i, v in ["a", "b"]: "${i}${v}" if v != "a"]', '["1b"]'],
  ['{for s in ["a", "bb"]: s => length(o.list)}', '{"a":2,"bb":2}'],
  ['{for s in ["a", "b"]: "k" => s...}', '{"k":["a","b"]}'],
  ['o["a"]', '"x"'],
  ["inc(1, 2, 3)", "6"],
  ["inc([1, 2]...)", "5"],
  ['"${n}"', "3"],
  ['"${n}${n}"', '"33"'],
  ['"$${n} %%{n}"', '"${n} %{n}"'],
  ['"%{ if n > 2 }yes%{ else }no%{ endif }"', '"yes"'],
  ['"%{ for a in ["1","2"] ~} ${a} %{ endfor }|${~ "q" ~} |"', '"1 2 |q|"'],
  ["<<EOT\na ${n}\n  b\nEOT\n", '"a 3\\n  b\\n"'],
  ["<<-EOT\n    a\n      b\n  EOT\n", '"a\\n  b\\n"'],
  ['try(o.nope, "d")', '"d"'],
  ["can(1 / 0)", "false"],
  ['convert("1", number)', "1"],
  ["1e30", "1000000000000000000000000000000"],
  ["0.0000001", "0.0000001"],
  ['"\\u00e9\\t\\""', '"é\\t\\""'],
])("%s is %s", (expression, expected) => {
  expect(valueOf(expression)).toBe(expected);
});

test.each([
  ["nope", 'There is no variable "nope"', 10],
  ["1 +", "Cannot read the end of the line", 13],
  ['nosuch("x")', 'There is no function "nosuch"', 10],
  ["1 / 0", "Cannot divide by zero", 10],
  ['"a" + 1', "Cannot use + on a string", 10],
  ["[1][4]", "The list has no element 4: it has 1", 14],
  ['"${[1]}x"', "Cannot put a list into a text", 13],
  ["result", 'Cannot evaluate "result": it depends on itself', 10],
  ['"abc', "Cannot read a text: its line ends before its closing quote", 10],
  ["inc()", "Cannot call inc() with 0 arguments: it takes at least 1", 10],
  ["[".repeat(300), "Cannot read more than 200 brackets inside each other", 210],
])("%s is an error at its place", (expression, message, column) => {
  let found: unknown;
  try {
    valueOf(expression);
  } catch (error) {
    found = error;
  }
  if (!(found instanceof BuildError)) throw new Error(`no error: ${String(found)}`);
  expect(found.message).toContain(message);
  expect([found.span?.start.line, found.span?.start.column]).toEqual([3, column]);
});

test.each([`${"!".repeat(60_000)}true`, `1${"+1".repeat(60_000)}`])("endless nesting is an error", (expression) => {
  expect(() => valueOf(expression)).toThrow("it nests too deeply");
});

test("a value is written as JSON with the escapes of Go", () => {
  expect(toJson(["<&>", null, 1.5, new Map([["a", true]])])).toBe('["\\u003c\\u0026\\u003e",null,1.5,{"a":true}]');
});
