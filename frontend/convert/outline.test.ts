import { expect, test } from "vitest";
import { SourceText } from "../../lib/core/span.ts";
import { parseDockerfile } from "../parse.ts";
import { convert } from "./convert.fixture.ts";
import { outlineJson, outlineText } from "./outline.ts";
import { targetsJson, targetsText } from "./targets.ts";

const TEXT = `# VERSION is the release
ARG VERSION=1.0
ARG BASE=busybox:\${VERSION}
ARG UNUSED=x
# base has the tools
FROM rich AS base
RUN --mount=type=secret,id=token,required x
FROM base AS build
# FLAGS go to the compiler
ARG FLAGS="-O2"
ARG VERSION
RUN --mount=type=ssh --mount=type=cache,target=/root/.cache --mount=type=secret,id=other y
FROM scratch AS other
ARG NEVER
# app is what runs
FROM scratch AS app
COPY --from=build /x /x
`;

test("an outline lists what a target and the stages it needs can be given", async () => {
  const { outline } = await convert(TEXT);
  expect([outline.name, outline.description]).toEqual(["app", "is what runs"]);
  expect(outline.args.map(({ name, value, description }) => [name, value, description])).toEqual([
    ["VERSION", "1.0", "is the release"],
    ["FLAGS", "-O2", "go to the compiler"],
  ]);
  expect(outline.secrets.map(({ name, required }) => [name, required])).toEqual([
    ["token", true],
    ["other", false],
  ]);
  expect(outline.ssh.map(({ name }) => name)).toEqual(["default"]);
  expect(outline.cacheMounts.map(({ id }) => id)).toEqual(["/root/.cache"]);
});

test("an ARG that FROM uses brings those its default is made of", async () => {
  const { outline } = await convert("ARG V=latest\nARG B=busybox:$V\nFROM $B\n");
  expect(outline.args.map(({ name, value }) => `${name}=${value}`)).toEqual(["V=latest", "B=busybox:latest"]);
});

test("the outline as JSON has lines and no empty members", async () => {
  const dockerfile = parseDockerfile(new SourceText("Dockerfile", "FROM scratch\nARG A\n"));
  const { outline } = await convert("FROM scratch\nARG A\n");
  expect(JSON.parse(JSON.stringify(outlineJson(outline, dockerfile)))).toEqual({
    args: [{ name: "A", location: { ranges: [{ start: { line: 2 }, end: { line: 2 } }] } }],
    sources: [Buffer.from("FROM scratch\nARG A\n").toString("base64")],
  });
});

test("the outline as text is a table per kind", async () => {
  const { outline } = await convert("FROM busybox AS app\nARG LONG_NAME=1\nRUN --mount=type=secret,id=t,required x\n");
  expect(outlineText(outline)).toBe(
    "TARGET:   app\n\nBUILD ARG   VALUE   DESCRIPTION\nLONG_NAME   1\n\nSECRET   REQUIRED\nt        true\n",
  );
});

test("targets are listed with their bases, the last one as the default", () => {
  const dockerfile = parseDockerfile(
    new SourceText("Dockerfile", "# a does this\nFROM --platform=$BUILDPLATFORM x AS a\nFROM y\n"),
  );
  expect(JSON.parse(JSON.stringify(targetsJson(dockerfile)))).toMatchObject({
    targets: [
      { name: "a", base: "x", platform: "$BUILDPLATFORM", location: { ranges: [{ start: { line: 2 } }] } },
      { base: "y", default: true },
    ],
  });
  expect(targetsText(dockerfile)).toMatch(/^TARGET +DESCRIPTION\na .*does this\n\(default\)\n$/);
});

test("a place is a range per line", async () => {
  const dockerfile = parseDockerfile(new SourceText("Dockerfile", "FROM \\\n  scratch \\\n  AS x\n"));
  const line = (number: number): unknown => ({ start: { line: number }, end: { line: number } });
  expect(targetsJson(dockerfile)).toMatchObject({ targets: [{ location: { ranges: [line(1), line(2), line(3)] } }] });
});
