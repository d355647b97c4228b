import { expect, test } from "vitest";
import { imagePurl } from "./purl.ts";
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
