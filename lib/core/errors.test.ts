import { expect, test } from "vitest";
import { BuildError, errnoOf } from "./errors.ts";
import { SourceText } from "./span.ts";

const source = new SourceText("Dockerfile", "FROM a\nRUN b\n");
const first = source.span(0, 6);
const second = source.span(7, 12);
const other = new BuildError("dockerfile/syntax", "another");

class MarkedError extends BuildError {}

const whole = (): BuildError =>
  new MarkedError("source/git", "it failed", {
    span: first,
    hint: "do this",
    detail: "its last words",
    more: [other],
    cause: new Error("below"),
  });

const shown = ({ code, message, span, hint, detail, more }: BuildError): object => ({
  code,
  message,
  span,
  hint,
  detail,
  more,
});

test.each([
  { name: "a place", change: (error: BuildError) => error.at(second), differs: { span: second } },
  { name: "a hint", change: (error: BuildError) => error.withHint("do that"), differs: { hint: "do that" } },
  {
    name: "further errors",
    change: (error: BuildError) => error.withMore([other]),
    differs: { more: [other, other] },
  },
  {
    name: "another code",
    change: (error: BuildError) => error.with({ code: "source/http" }),
    differs: { code: "source/http" },
  },
])("$name changes nothing else, and the original stays reachable", ({ change, differs }) => {
  const original = whole();
  const changed = change(original);
  expect(shown(changed)).toEqual({ ...shown(whole()), ...differs });
  expect(changed.cause).toBe(original);
  expect(shown(original)).toEqual(shown(whole()));
});

test("an error that is not changed is itself", () => {
  const original = whole();
  expect([original.at(first), original.at(undefined), original.withHint(undefined), original.withMore([])]).toEqual([
    original,
    original,
    original,
    original,
  ]);
  expect(original.at(undefined)).toBe(original);
});

test("an error of ours has no errno: what tests for one must not tell it again as the system's", () => {
  expect(errnoOf(whole())).toBeUndefined();
  expect(errnoOf(Object.assign(new Error("gone"), { code: "ENOENT" }))).toBe("ENOENT");
});
