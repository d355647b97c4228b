import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { SystemError } from "../native/errno.ts";
import { BuildError } from "./errors.ts";
import { systemFailure } from "./system-failure.ts";

const thrown = (work: () => unknown): unknown => {
  try {
    return work();
  } catch (error) {
    return error;
  }
};
const withCode = (code: string, message = code): Error => Object.assign(new Error(message), { code });

test.each([
  { name: "Node's file calls", error: thrown(() => readFileSync("/nothing/here")), says: /ENOENT: no such file/ },
  { name: "a name with a NUL", error: thrown(() => readFileSync("a\0b")), says: /null bytes/ },
  { name: "the addon", error: new SystemError(-24, "openat", "x"), says: /EMFILE: too many open files/ },
  { name: "a program that cannot be started", error: withCode("EAGAIN", "spawn git EAGAIN"), says: /spawn git EAGAIN/ },
  {
    name: "a wrapped error",
    error: new TypeError("fetch failed", { cause: withCode("ECONNRESET") }),
    says: /: ECONNRESET$/,
  },
  { name: "several addresses", error: new AggregateError([withCode("ECONNREFUSED")], ""), says: /: ECONNREFUSED$/ },
  { name: "the HTTP client", error: withCode("UND_ERR_SOCKET", "other side closed"), says: /other side closed/ },
])("what $name says becomes system/failed", ({ error, says }) => {
  const failure = systemFailure("do it", error);
  expect(failure).toBeInstanceOf(BuildError);
  expect(failure).toMatchObject({ code: "system/failed", message: expect.stringMatching(says) });
  expect((failure as BuildError).message).toMatch(/^Cannot do it: /);
});

test.each([
  { name: "a broken assumption", error: new Error("x") },
  { name: "a wrong call", error: thrown(() => readFileSync({} as string)) },
  { name: "a wrong call of ours in a cause", error: new TypeError("y", { cause: new TypeError("z") }) },
  { name: "an error in words", error: new BuildError("cli/usage", "x") },
  { name: "no error", error: undefined },
])("$name stays what it is", ({ error }) => {
  expect(systemFailure("do it", error)).toBe(error);
});

test("too many open files have a way out", () => {
  expect(systemFailure("x", withCode("EMFILE"))).toMatchObject({ hint: expect.stringContaining("ulimit -n") });
});
