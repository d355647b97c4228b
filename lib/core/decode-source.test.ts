import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { decodeSource } from "./decode-source.ts";
import { BuildError } from "./errors.ts";

const refusal = (bytes: Buffer): BuildError | undefined => {
  try {
    decodeSource("D", bytes, "a Dockerfile");
    return undefined;
  } catch (error) {
    return error instanceof BuildError ? error : undefined;
  }
};

const TEXT = "FROM a\nRUN b\n";
const big = (text: string): Buffer => Buffer.from(text, "utf16le").swap16();
const wide = (text: string): Buffer =>
  Buffer.concat(Array.from(text, (char) => Buffer.from([char.charCodeAt(0), 0, 0, 0])));

test.each([
  { name: "UTF-16, little end first", bytes: Buffer.from(`\ufeff${TEXT}`, "utf16le"), says: "UTF-16LE" },
  { name: "UTF-16, big end first", bytes: big(`\ufeff${TEXT}`), says: "UTF-16BE" },
  { name: "UTF-16 without a mark", bytes: Buffer.from(TEXT, "utf16le"), says: "UTF-16LE" },
  { name: "UTF-16 without a mark, big end first", bytes: big(TEXT), says: "UTF-16BE" },
  { name: "UTF-32", bytes: Buffer.concat([Buffer.from([0xff, 0xfe, 0, 0]), wide(TEXT)]), says: "UTF-32LE" },
  { name: "a program", bytes: Buffer.from("\x7fELF\x02\x01\x01"), says: "an ELF program" },
  { name: "a gzip archive", bytes: gzipSync("x"), says: "a gzip archive" },
  { name: "zeros and other controls", bytes: Buffer.alloc(600, "\x00\x01ab"), says: "binary data" },
])("refuses $name by its name", ({ bytes, says }) => {
  const error = refusal(bytes);
  expect([error?.code, error?.message]).toEqual([
    expect.stringMatching(/encoding|other-format/),
    expect.stringContaining(says),
  ]);
});

test.each([
  { name: "plain text", bytes: Buffer.from(TEXT), text: TEXT, undecoded: [] },
  { name: "nothing", bytes: Buffer.alloc(0), text: "", undecoded: [] },
  { name: "a mark", bytes: Buffer.from(`\ufeff${TEXT}`), text: `\ufeff${TEXT}`, undecoded: [] },
  { name: "a zero in a comment", bytes: Buffer.from("# a\0b\nFROM a\n"), text: "# a\0b\nFROM a\n", undecoded: [] },
  { name: "Latin-1", bytes: Buffer.from("caf\xe9 \xe9", "latin1"), text: "caf\ufffd \ufffd", undecoded: [3, 5] },
  {
    name: "replacement characters that are meant, beside those that are not",
    bytes: Buffer.concat([
      Buffer.from("é\ufffd"),
      Buffer.from([0xff]),
      Buffer.from("\ufffd\ufffdx"),
      Buffer.from([0xe2]),
    ]),
    text: "é\ufffd\ufffd\ufffd\ufffdx\ufffd",
    undecoded: [2, 6],
  },
])("keeps $name", ({ bytes, text, undecoded }) => {
  const source = decodeSource("D", bytes, "a Dockerfile");
  expect([source.text, source.undecoded]).toEqual([text, undecoded]);
});
