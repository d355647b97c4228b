import { expect, test } from "vitest";
import { SourceText } from "../../lib/core/span.ts";
import { parseMode } from "./mode.ts";
import { parseOwner } from "./owner.ts";

const span = new SourceText("Dockerfile", "COPY").span(0, 4);

test.each([
  ["755", { kind: "octal", bits: 0o755 }],
  ["0644", { kind: "octal", bits: 0o644 }],
  ["7777", { kind: "octal", bits: 0o7777 }],
  ["0", { kind: "octal", bits: 0 }],
  ["u=rwX,go=rX", { kind: "symbolic", text: "u=rwX,go=rX" }],
  ["+x", { kind: "symbolic", text: "+x" }],
  ["u+s,g=u", { kind: "symbolic", text: "u+s,g=u" }],
  ["a=", { kind: "symbolic", text: "a=" }],
])("--chmod=%s", (text, mode) => {
  expect(parseMode(text, span)).toEqual(mode);
});

test.each(["10000", "8", "0x1ff", "-1", "rwx", "u=rwx;g=r", "755x", "1u+x"])("--chmod=%s fails", (text) => {
  expect(() => parseMode(text, span)).toThrow(/octal string and between 0 and 07777/);
});

test.each([
  ["1000", { user: "1000", group: undefined }],
  ["app:staff", { user: "app", group: "staff" }],
  ["0:0", { user: "0", group: "0" }],
  [":5", { user: "", group: "5" }],
  ["app:", { user: "app", group: "0" }],
])("--chown=%s", (text, owner) => {
  expect(parseOwner(text)).toEqual(owner);
});
