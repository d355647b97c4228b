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

test("where a disposal failed as well, the first error counts", () => {
  const first = withCode("EIO", "EIO: i/o error, read");
  const both = Object.assign(new Error("suppressed"), { name: "SuppressedError", error: new Error("later") });
  expect(systemFailure("do it", Object.assign(both, { suppressed: first }))).toMatchObject({
    code: "system/failed",
    message: "Cannot do it: EIO: i/o error, read",
  });
  const told = new BuildError("cli/usage", "x");
  expect(systemFailure("do it", Object.assign(both, { suppressed: told }))).toBe(told);
});

test("files or memory that ran out are the hint, whatever was being done", () => {
  const out = withCode("EMFILE");
  const hint = expect.stringContaining("ulimit -n");
  expect(new BuildError("context/unreadable", "x", { cause: out, hint: "exclude it" })).toMatchObject({ hint });
  const wrapped = new BuildError("solver/copy-failed", "x", { cause: new Error("y", { cause: out }) });
  expect(wrapped.withHint("another")).toMatchObject({ hint });
  // Any other error's hint is for an error that has none.
  expect(new BuildError("cli/usage", "x", { cause: withCode("EROFS") }).hint).toContain("read-only");
  expect(new BuildError("cli/usage", "x", { cause: withCode("EROFS"), hint: "own" }).hint).toBe("own");
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
