import { expect, test } from "vitest";
import { csvFields } from "./csv.ts";

test.each([
  { line: "a", fields: ["a"] },
  { line: 'a,"b,c"', fields: ["a", "b,c"] },
  { line: '"say ""hi""",b', fields: ['say "hi"', "b"] },
  { line: '""', fields: [""] },
  { line: "a,", fields: ["a", ""] },
  { line: '"a",', fields: ["a", ""] },
  { line: ",,", fields: ["", "", ""] },
  { line: " a, b", fields: [" a", " b"] },
])("$line is split as Go splits it", ({ line, fields }) => {
  expect(csvFields(line)).toEqual(fields);
});

test.each([
  { line: "", message: "EOF" },
  { line: 'a"b', message: 'parse error on line 1, column 2: bare " in non-quoted-field' },
  { line: 'x,"a"b', message: 'parse error on line 1, column 5: extraneous or missing " in quoted-field' },
  { line: '"a', message: 'parse error on line 1, column 3: extraneous or missing " in quoted-field' },
])("$line is an error in Go's words", ({ line, message }) => {
  expect(() => csvFields(line)).toThrow(message);
});
