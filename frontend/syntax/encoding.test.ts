import { expect, test } from "vitest";
import { decodeSource } from "../../lib/core/decode-source.ts";
import { BuildError } from "../../lib/core/errors.ts";
import { parseIgnoreFile } from "../ignore/ignore-file.ts";
import { parseDockerfile } from "../parse.ts";

const bytes = (text: string): Buffer => Buffer.from(text, "latin1");

function refusal(work: () => unknown): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    return `${error.code} ${String(error.span?.start.line)}:${String(error.span?.start.column)} ${error.message}`;
  }
}

const UNDECODED = "Cannot pass on a byte that is not UTF-8";
const ZERO = "Cannot pass on a zero byte";

test.each([
  { name: "in a command", text: "FROM a\nRUN echo \xe9\n", says: `2:10 ${UNDECODED}` },
  { name: "in a continued line", text: "FROM a\nRUN echo \\\n a\xff\n", says: `3:3 ${UNDECODED}` },
  { name: "in a here-document", text: "FROM a\nRUN <<E\nb\n\xe9\nE\n", says: `4:1 ${UNDECODED}` },
  { name: "in a file written here", text: "FROM a\nCOPY <<E /f\n\xe9\nE\n", says: `3:1 ${UNDECODED}` },
  { name: "in a label", text: "FROM a\nLABEL a=\xe9\n", says: `2:9 ${UNDECODED}` },
  { name: "in a variable", text: "FROM a\nENV A \xe9\n", says: `2:7 ${UNDECODED}` },
  { name: "in a name", text: "FROM a\nCOPY b\xe9 /\n", says: `2:7 ${UNDECODED}` },
  { name: "in a keyword", text: "FROM a\nR\xffUN b\n", says: `2:2 ${UNDECODED}` },
  { name: "in the value of an argument", text: "ARG A=\xe9\nFROM a\n", says: `1:7 ${UNDECODED}` },
  { name: "zero, in a command", text: "FROM a\nRUN a\0b\n", says: `2:6 ${ZERO}` },
  { name: "zero, in a directory", text: "FROM a\nWORKDIR /a\0b\n", says: `2:11 ${ZERO}` },
  { name: "zero, in a here-document", text: "FROM a\nRUN <<E\na\0b\nE\n", says: `3:2 ${ZERO}` },
])("a byte that cannot be passed on is refused $name", ({ text, says }) => {
  expect(refusal(() => parseDockerfile(decodeSource("D", bytes(text), "a Dockerfile")))).toBe(
    `dockerfile/encoding ${says}`,
  );
});

test.each([
  { name: "comments", text: "# caf\xe9 \0\nFROM a\n# \xff\nRUN a \\\n# \xe9\n b\n" },
  { name: "a file with zeros", text: "FROM a\nCOPY <<E /f\na\0b\nE\n" },
])("$name may hold any byte", ({ text }) => {
  expect(refusal(() => parseDockerfile(decodeSource("D", bytes(text), "a Dockerfile")))).toBeUndefined();
});

test.each([
  {
    text: "a\nb\xe9\n",
    says: "dockerfile/encoding 2:2 Cannot read an ignore pattern: it holds a byte that is not UTF-8",
  },
  { text: "a\0\n", says: "dockerfile/encoding 1:2 Cannot read an ignore pattern: it holds a zero byte" },
  { text: "# \xe9\na\n#\0\n", says: undefined },
])("an ignore file: $text", ({ text, says }) => {
  expect(refusal(() => parseIgnoreFile(decodeSource("D", bytes(text), "an ignore file")))).toBe(says);
});
