import { expect, test } from "vitest";
import { imagePurl, packageUrl } from "./purl.ts";
import { parseReference } from "./reference.ts";

const amd64 = { os: "linux", architecture: "amd64" };
const digest = `sha256:${"5f".repeat(32)}`;

test.each([
  { ref: "alpine", purl: "pkg:docker/alpine@latest?platform=linux%2Famd64" },
  { ref: "team/app:1.2", purl: "pkg:docker/team/app@1.2?platform=linux%2Famd64" },
  { ref: "localhost:5000/busybox:latest", purl: "pkg:docker/localhost:5000/busybox@latest?platform=linux%2Famd64" },
  { ref: `alpine@${digest}`, purl: "pkg:docker/alpine?platform=linux%2Famd64" },
])("$ref as a package is $purl", ({ ref, purl }) => {
  expect(imagePurl(parseReference(ref), amd64)).toBe(purl);
});

test("a digest is a qualifier", () => {
  const ref = parseReference(`alpine:3@${digest}`);
  expect(imagePurl(ref, { ...amd64, variant: "v8", architecture: "arm64" }, ref.digest)).toBe(
    `pkg:docker/alpine@3?digest=${digest}&platform=linux%2Farm64%2Fv8`,
  );
});

test.each([
  {
    parts: {
      type: "deb",
      namespace: "debian",
      name: "libstdc++6",
      version: "1:12.2.0-14+b1",
      qualifiers: { arch: "amd64" },
    },
    purl: "pkg:deb/debian/libstdc%2B%2B6@1:12.2.0-14%2Bb1?arch=amd64",
  },
  {
    parts: { type: "npm", namespace: "@types", name: "node", version: "24.1.0" },
    purl: "pkg:npm/%40types/node@24.1.0",
  },
  {
    parts: { type: "golang", namespace: "github.com/a", name: "b", version: "v1.0.0", qualifiers: { x: undefined } },
    purl: "pkg:golang/github.com/a/b@v1.0.0",
  },
  { parts: { type: "generic", name: "a/b (c)", version: "\ud800" }, purl: "pkg:generic/a%2Fb%20%28c%29@%EF%BF%BD" },
  {
    parts: { type: "rpm", name: "a", qualifiers: { upstream: "a-1.src.rpm", arch: "noarch", epoch: "" } },
    purl: "pkg:rpm/a?arch=noarch&upstream=a-1.src.rpm",
  },
])("a package as a URL: $purl", ({ parts, purl }) => {
  expect(packageUrl(parts)).toBe(purl);
});
