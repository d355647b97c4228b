import { expect, test } from "vitest";
import { coverPasswords } from "./credentials.ts";

test.each([
  { text: "ADD https://me:secret@host/x /y", shown: "ADD https://me:******@host/x /y" },
  { text: "ADD https://t0ken@host/x.git#v1 /y", shown: "ADD https://*****@host/x.git#v1 /y" },
  { text: "a password with its own @: http://me:p@ss@host", shown: "a password with its own @: http://me:****@host" },
  { text: "two: http://a:b@h http://c:dd@h", shown: "two: http://a:*@h http://c:**@h" },
  { text: "RUN curl 'ftp://a:b@h'", shown: "RUN curl 'ftp://a:*@h'" },
  { text: "ssh://git@host/x ssh://git:pw@host/x git@host:x", shown: "ssh://git@host/x ssh://git:**@host/x git@host:x" },
  { text: "http://host/a@b mail@host http://host:80/x", shown: "http://host/a@b mail@host http://host:80/x" },
])("$text", ({ text, shown }) => {
  expect(coverPasswords(text)).toBe(shown);
  expect(shown).toHaveLength(text.length);
});
