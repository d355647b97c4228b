import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { BuildError, ERROR_CODES, type ErrorCode } from "../lib/core/errors.ts";
import { convert } from "./convert/convert.fixture.ts";

/** Codes with a Dockerfile on their page, as in `COPY --chmood=755 run.sh /`, that the frontend alone refuses. */
const CODES = ERROR_CODES.filter((code) => code.startsWith("dockerfile/") || code === "pattern/malformed").filter(
  (code) =>
    !(
      [
        // Bytes that no page can show; files that are not there; flags of the command line.
        "dockerfile/encoding",
        "dockerfile/not-found",
        "dockerfile/other-format",
        "dockerfile/unknown-stage",
        // A build argument may name another one: the engine looks at it.
        "dockerfile/frontend",
        "dockerfile/ignore-file",
      ] as const
    ).some((other) => other === code),
);

/** Reads the indented lines below a heading, without remarks in brackets behind them. */
async function example(code: ErrorCode, heading: string): Promise<string> {
  const page = await readFile(join(import.meta.dirname, "..", "docs", "errors", `${code}.md`), "utf8");
  const part = page.split(`## ${heading}\n`)[1]?.split("\n## ")[0] ?? "";
  const lines = part.split("\n").filter((line) => line.startsWith("    "));
  const text = `${lines.map((line) => line.slice(4).replace(/ {2,}\(.*\)$/, "")).join("\n")}\n`;
  const whole = text.replaceAll("FROM alpine", "FROM busybox");
  if (/^FROM/m.test(whole) || code === "dockerfile/empty") return whole;
  return /^(?:ARG|#)/.test(whole) ? `${whole}FROM busybox\n` : `FROM busybox\n${whole}`;
}

async function codeOf(text: string): Promise<string> {
  try {
    await convert(text);
    return "none";
  } catch (error) {
    if (error instanceof BuildError) return error.code;
    throw error;
  }
}

test.each(CODES)("the example of %s gives this error, and what to do helps", async (code) => {
  expect(await codeOf(await example(code, "As in"))).toBe(code);
  expect(await codeOf(await example(code, "What to do"))).not.toBe(code);
});
