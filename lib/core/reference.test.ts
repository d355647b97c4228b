import { expect, test } from "vitest";
import { BuildError } from "./errors.ts";
import { familiarReference, formatReference, parseReference } from "./reference.ts";

const DIGEST = `sha256:${"a".repeat(64)}`;

test.each([
  { text: "alpine", full: "docker.io/library/alpine:latest", familiar: "alpine:latest" },
  { text: "alpine:3.20", full: "docker.io/library/alpine:3.20", familiar: "alpine:3.20" },
  { text: "team/app", full: "docker.io/team/app:latest", familiar: "team/app:latest" },
  { text: "docker.io/alpine", full: "docker.io/library/alpine:latest", familiar: "alpine:latest" },
  { text: "index.docker.io/library/alpine", full: "docker.io/library/alpine:latest", familiar: "alpine:latest" },
  { text: "localhost/app", full: "localhost/app:latest", familiar: "localhost/app:latest" },
  { text: "localhost:5000/app", full: "localhost:5000/app:latest", familiar: "localhost:5000/app:latest" },
  { text: "ghcr.io/a/b/c:v1", full: "ghcr.io/a/b/c:v1", familiar: "ghcr.io/a/b/c:v1" },
  { text: `alpine@${DIGEST}`, full: `docker.io/library/alpine@${DIGEST}`, familiar: `alpine@${DIGEST}` },
  { text: `alpine:3@${DIGEST}`, full: `docker.io/library/alpine:3@${DIGEST}`, familiar: `alpine:3@${DIGEST}` },
  { text: "[::1]:5000/app", full: "[::1]:5000/app:latest", familiar: "[::1]:5000/app:latest" },
  { text: "a__b/c-d.e", full: "docker.io/a__b/c-d.e:latest", familiar: "a__b/c-d.e:latest" },
])("$text is $full", ({ text, full, familiar }) => {
  const ref = parseReference(text);
  expect(formatReference(ref)).toBe(full);
  expect(familiarReference(ref)).toBe(familiar);
  expect(parseReference(formatReference(ref))).toEqual(ref);
});

test.each(["", "-a", "a/", "/a", "a//b", "a:b:c", "a@sha256:123", "a b", "a:-x", "../a", "a/../b", "http://a/b"])(
  "%j is not an image name",
  (text) => {
    expect(() => parseReference(text)).toThrowError(BuildError);
  },
);

test.each([
  { text: `${"a".repeat(247)}:1`, fits: true }, // library/ is a part of it
  { text: `${"a".repeat(248)}:1`, fits: false },
  { text: `localhost:5000/${"a/".repeat(127)}a`, fits: true },
  { text: `localhost:5000/${"a/".repeat(127)}ab`, fits: false },
])("a repository of at most 255 characters is a name: $text", ({ text, fits }) => {
  const parse = (): unknown => parseReference(text);
  if (fits) expect(parse()).toBeDefined();
  else expect(parse).toThrowError(expect.objectContaining({ code: "reference/malformed" }));
});

test("upper-case repository names get the hint that repairs them", () => {
  expect(() => parseReference("MyApp:1")).toThrowError(
    expect.objectContaining({ code: "reference/malformed", hint: 'write "myapp:1"' }),
  );
});

test.each([
  { text: "app:", says: "its tag is empty", hint: 'leave the colon out, or write a tag behind it: "app:latest"' },
  { text: "app:-x", says: '"-x" is not a tag', hint: /^a tag has up to 128/ },
  { text: "my app", says: '"my app" is not a repository name', hint: /registry\.example\/team\/app$/ },
])("$text is refused with what a name looks like", ({ text, says, hint }) => {
  expect(() => parseReference(text)).toThrow(
    expect.objectContaining({
      message: `Cannot use ${JSON.stringify(text)} as an image name: ${says}`,
      hint: typeof hint === "string" ? hint : expect.stringMatching(hint),
    }),
  );
});
