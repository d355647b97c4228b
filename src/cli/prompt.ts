import { createInterface } from "node:readline/promises";
import { BuildError } from "../../lib/core/errors.ts";
import type { CommandContext } from "./context.ts";

/** Limit of a password read from a pipe. */
const MAX_PASSWORD_BYTES = 1 << 20;

/**
 * Asks for a line at the terminal.
 * @throws {BuildError} `cli/usage` where there is none
 */
export async function ask(context: CommandContext, question: string): Promise<string> {
  const { stdin, stderr } = context.host;
  refuseNoTerminal(context);
  const lines = createInterface({ input: stdin, output: stderr });
  try {
    return (await lines.question(question, { signal: context.signal })).trim();
  } finally {
    lines.close();
  }
}

/**
 * Asks for a password at the terminal, without echo.
 * @throws {BuildError} `cli/usage` where there is none
 */
export async function askPassword(context: CommandContext, question: string): Promise<string> {
  const { stdin, stderr } = context.host;
  refuseNoTerminal(context);
  stderr.write(question);
  stdin.setRawMode?.(true);
  let typed = "";
  try {
    for await (const chunk of stdin as AsyncIterable<Buffer>) {
      context.signal.throwIfAborted();
      for (const letter of chunk.toString("utf8")) {
        if (letter === "\r" || letter === "\n" || letter === "\u0004") return typed;
        // A raw terminal sends no signals by itself.
        if (letter === "\u0003") throw new BuildError("build/cancelled", "Cancelled at the terminal");
        typed = letter === "\u007f" || letter === "\b" ? Array.from(typed).slice(0, -1).join("") : typed + letter;
      }
    }
    return typed;
  } finally {
    stdin.setRawMode?.(false);
    stderr.write("\n");
  }
}

/** Reads a password from standard input: all of it, without the line end that `echo` adds. */
export async function passwordFromStdin(context: CommandContext): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of context.host.stdin as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > MAX_PASSWORD_BYTES)
      throw new BuildError("cli/usage", "Cannot read the password: it has more than 1 MiB");
  }
  return Buffer.concat(chunks)
    .toString("utf8")
    .replace(/\r?\n$/, "");
}

function refuseNoTerminal({ host }: CommandContext): void {
  if (host.stdin.isTTY === true) return;
  throw new BuildError("cli/usage", "Cannot ask for a password: standard input is no terminal", {
    hint: 'use --password-stdin, as in: echo "$TOKEN" | kiln login -u USER --password-stdin REGISTRY',
  });
}
