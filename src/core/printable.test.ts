import { expect, test } from "vitest";
import { plainOutput, printable, printableLine, printableOutput } from "./printable.ts";

const E = "\u001b";

test.each([
  { name: "plain text", text: "RUN make", shown: "RUN make" },
  { name: "tabs and line ends", text: "a\tb\nc", shown: "a\tb\nc" },
  { name: "an escape sequence", text: `${E}[2Ja`, shown: "\ufffd[2Ja" },
  { name: "an eight-bit one", text: "\u009b2Ja", shown: "\ufffd2Ja" },
  { name: "a carriage return", text: "true\rfake", shown: "true\ufffdfake" },
  { name: "writing turned round", text: "a\u202eb\u2066c", shown: "a\ufffdb\ufffdc" },
])("a text of others: $name", ({ text, shown }) => {
  expect(printable(text)).toBe(shown);
});

test("a name is one line", () => {
  expect(printableLine("RUN <<EOF\n  a\r\n\nEOF")).toBe("RUN <<EOF a EOF");
});

test.each([
  { name: "colours", text: `${E}[31mred${E}[0m ${E}[38;5;1mx${E}[38:2::1:2:3m`, plain: "red x" },
  { name: "progress on one line", text: "1%\r2%", plain: "1%\r2%" },
])("a command's output keeps $name", ({ text, plain }) => {
  expect(printableOutput(text)).toBe(text);
  expect(plainOutput(text)).toBe(plain);
});

test.each([
  { name: "a moved cursor", text: `a${E}[2A${E}[Kb` },
  { name: "a title", text: `a${E}]0;title\u0007b` },
  { name: "a title with the other end", text: `a${E}]0;title${E}\\b` },
  { name: "a link", text: `a${E}]8;;http://x${E}\\${E}]8;;${E}\\b` },
  { name: "a question to the terminal", text: `a${E}[6n${E}P$q"p${E}\\b` },
  { name: "eight-bit sequences", text: "a\u009b2J\u009d0;title\u009cb" },
  { name: "other escapes", text: `a${E}c${E}(B${E}=b` },
  { name: "bells and backspaces", text: "a\u0007\u0008\u0000b" },
  { name: "private colours", text: `a${E}[?5mb` },
])("a command's output loses $name", ({ text }) => {
  expect(printableOutput(text)).toBe("ab");
  expect(plainOutput(text)).toBe("ab");
});

test("a string without an end takes its own line and no more", () => {
  expect(printableOutput(`a${E}]0;title\nb`)).toBe("a\nb");
});
