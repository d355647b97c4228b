import { expect, test } from "vitest";
import { applySymbolicMode, parseSymbolicMode } from "./symbolic-mode.ts";

/** Modes that BuildKit gives a file (or, with a slash, a directory) of the first mode. */
test.each([
  { mode: "u=rwX,go=rX", from: "0640", to: "0644" },
  { mode: "u=rwX,go=rX", from: "7755", to: "1755" },
  { mode: "u=rwX,go=rX", from: "0700/", to: "0755" },
  { mode: "+x", from: "0640", to: "0751" },
  { mode: "+X", from: "0640", to: "0640" },
  { mode: "+X", from: "0100", to: "0111" },
  { mode: "a-x,a+X", from: "0755", to: "0755" },
  { mode: "a-rwx+X", from: "7755", to: "7111" },
  { mode: "-X", from: "0755", to: "0644" },
  { mode: "g=u", from: "7755", to: "7775" },
  { mode: "u=g=o", from: "7755", to: "7555" },
  { mode: "g=u+w", from: "0640", to: "0660" },
  { mode: "o=u-x", from: "0111", to: "0110" },
  { mode: "u+t", from: "0640", to: "1640" },
  { mode: "o+t", from: "0640", to: "0640" },
  { mode: "o=rwt", from: "1640", to: "1646" },
  { mode: "=t", from: "0640", to: "1640" },
  { mode: "+st", from: "0640", to: "1640" },
  { mode: "+s", from: "0640", to: "6640" },
  { mode: "o+s", from: "0640", to: "0640" },
  { mode: "a=rwxst", from: "0000", to: "7777" },
  { mode: "a-st", from: "7755", to: "0755" },
  { mode: "=", from: "7755", to: "1000" },
  { mode: "=rw", from: "6755/", to: "0666" },
  { mode: "g=rx", from: "2755/", to: "0755" },
])("$mode makes $to of $from", ({ mode, from, to }) => {
  const bits = Number.parseInt(from, 8);
  const result = applySymbolicMode(parseSymbolicMode(mode), bits, from.endsWith("/"));
  expect(result.toString(8).padStart(4, "0")).toBe(to);
});
