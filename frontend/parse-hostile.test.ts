import fc from "fast-check";
import { expect, test } from "vitest";
import { BuildError } from "../lib/core/errors.ts";
import { SourceText } from "../lib/core/span.ts";
import { parseDockerfile } from "./parse.ts";

const parse = (text: string): ReturnType<typeof parseDockerfile> => parseDockerfile(new SourceText("Dockerfile", text));

/** `ok`, or the code of the error. Anything else that is thrown is a crash. */
function outcome(text: string): string {
  try {
    parse(text);
    return "ok";
  } catch (error) {
    if (error instanceof BuildError) return error.code;
    throw error;
  }
}

const PARTS = [
  ..."FROM RUN COPY ADD ENV ARG LABEL CMD HEALTHCHECK ONBUILD SHELL EXPOSE scratch AS NONE".split(" "),
  ...[
    " ",
    " ",
    "\n",
    "\n",
    "\r\n",
    "\t",
    "\\\n",
    "`\n",
    "\\",
    "`",
    "#",
    "# escape=`\n",
    "<<EOF",
    "<<-E",
    "EOF\n",
    "E\n",
  ],
  ...["--from=a", "--link", "--mount=type=cache", "--", "=", "a=b", "[", "]", '"a"', ",", "'", '"', "${", "$a", "}"],
  ...["\u00a0", "\ufeff", "\u{1f600}", "\ud800", "\0"],
];

test("no text makes the parser crash", () => {
  const text = fc.array(fc.constantFrom(...PARTS), { maxLength: 60 }).map((parts) => parts.join(""));
  fc.assert(
    fc.property(text, (dockerfile) => {
      expect(outcome(dockerfile)).not.toBe("");
    }),
    { numRuns: 5000 },
  );
});

test("instructions lie in order, each inside the file", () => {
  const line = fc.constantFrom("RUN a \\\n b\n", "COPY <<E /\nx\nE\n", "\n", "# c\n", "ENV a=b\n", "  CMD x\r\n");
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      const text = `FROM a\n${lines.join("")}`;
      let last = 0;
      for (const { span } of parse(text).stages[0]?.instructions ?? []) {
        expect(span.start.offset).toBeGreaterThanOrEqual(last);
        expect(span.end.offset).toBeGreaterThan(span.start.offset);
        last = span.end.offset;
      }
      expect(last).toBeLessThanOrEqual(text.length);
    }),
  );
});

const MEGABYTE = 1_000_000;

test.each([
  { name: "blank lines", text: "\n".repeat(MEGABYTE) },
  { name: "blanks", text: " ".repeat(MEGABYTE) },
  { name: "continuations", text: `RUN a${"\\\n".repeat(MEGABYTE / 2)}` },
  { name: "continued blanks", text: `RUN a \\\n${" \\\n".repeat(MEGABYTE / 3)}` },
  { name: "comments", text: "#x\n".repeat(MEGABYTE / 3) },
  { name: "comments in an instruction", text: `RUN a \\\n${"#x\n".repeat(MEGABYTE / 3)}` },
  { name: "unknown instructions", text: "A\n".repeat(MEGABYTE / 2) },
  { name: "instructions", text: "CMD\n".repeat(MEGABYTE / 4) },
  { name: "open heredocs", text: `RUN ${"<<A ".repeat(16_000)}\n`.repeat(15) },
  { name: "heredocs", text: "RUN <<A\nA\n".repeat(MEGABYTE / 10) },
  { name: "open quotes", text: `ENV a=${`"'`.repeat(30_000)}\n`.repeat(15) },
  { name: "open braces", text: `RUN << ${"${a:-".repeat(12_000)}\n`.repeat(15) },
  { name: "open brackets", text: `CMD ${"[".repeat(60_000)}\n`.repeat(15) },
  { name: "words", text: `COPY ${"a ".repeat(32_000)}\n`.repeat(15) },
  { name: "continued words", text: `COPY \\\n${"a \\\n".repeat(MEGABYTE / 4)}b\n` },
  { name: "continued pairs", text: `ENV \\\n${"a=b \\\n".repeat(MEGABYTE / 6)}c=d\n` },
  { name: "flags", text: `RUN ${"--mount=a ".repeat(6000)}\n`.repeat(15) },
  { name: "unknown flags", text: "RUN --a b\n".repeat(MEGABYTE / 10) },
  { name: "declarations below comments", text: "# a b\n".repeat(80_000) + `ARG ${"a ".repeat(32_000)}\n` },
  { name: "a blank directive", text: `# escape=${" ".repeat(60_000)}x\n`.repeat(15) },
  { name: "one line", text: `RUN ${"x".repeat(MEGABYTE)}` },
])("ends for a megabyte of $name", ({ text }) => {
  expect(outcome(`FROM a\n${text}`)).not.toBe("");
  expect(outcome(text)).not.toBe("");
});
