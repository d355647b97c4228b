import { expect, test } from "vitest";
import { plainOutput, printable, printableJson, printableLine, printableOutput } from "./printable.ts";

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
  { name: "writing turned round", text: "\u061ca\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069b" },
  {
    name: "what is not seen",
    text: "a\u00ad\u180e\u200b\u2060\u2061\u2062\u2063\u2064\u206a\u206f\ufeff\ufff9\ufffa\ufffbb",
  },
  { name: "tags", text: "a\u{e0001}\u{e0061}\u{e007f}b" },
  { name: "other ends of lines", text: "a\u2028\u2029b" },
  { name: "bells and backspaces", text: "a\u0007\u0008\u0000b" },
  { name: "private colours", text: `a${E}[?5mb` },
])("a command's output loses $name", ({ text }) => {
  expect(printableOutput(text)).toBe("ab");
  expect(plainOutput(text)).toBe("ab");
});

test("a string without an end takes its own line and no more", () => {
  expect(printableOutput(`a${E}]0;title\nb`)).toBe("a\nb");
});

test.each([
  { name: "pictures of several parts", text: "\u{1f468}\u200d\u{1f469}\u200d\u{1f467} \u2764\ufe0f" },
  { name: "words with joiners", text: "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645" },
  { name: "signs of numbers", text: "\u0600\u0661\u06dd \u{110bd}" },
  { name: "scripts that are written from the right", text: "\u05e9\u05dc\u05d5\u05dd" },
])("$name are shown as they are", ({ text }) => {
  expect([printable(text), printableOutput(text), plainOutput(text)]).toEqual([text, text, text]);
});

test("JSON has escapes for what is not to be shown, and means the same", () => {
  const value = { a: "x\u202ey\u009b2J\u{e0061}\u200d", b: ["\u001b[2J\n"] };
  for (const text of [printableJson(value), printableJson(value, 2)]) {
    expect(JSON.parse(text)).toEqual(value);
    expect(printable(text)).toBe(text);
  }
  expect(printableJson("\u202e\u{e0061}")).toBe(String.raw`"\u202e\udb40\udc61"`);
});
