import { expect, test } from "vitest";
import { challengeIn, parseChallenges } from "./auth.ts";

test.each([
  { name: "one scheme", header: 'Basic realm="a"', schemes: ["basic"] },
  { name: "a scheme without parameters", header: "Negotiate", schemes: ["negotiate"] },
  {
    name: "several schemes in one header",
    header: 'Bearer realm="https://a/t",service="b, c=d", Basic realm="x"',
    schemes: ["bearer", "basic"],
  },
  { name: "nonsense, as nothing", header: '=,="', schemes: [] },
])("parseChallenges reads $name", ({ header, schemes }) => {
  expect(parseChallenges(header).map(({ scheme }) => scheme)).toEqual(schemes);
});

test("a quoted parameter may hold commas, equal signs and escaped quotes", () => {
  const [challenge] = parseChallenges('Bearer realm="https://a/t?x=1,2",service="say \\"hi\\"", scope=plain');
  expect(Object.fromEntries(challenge?.parameters ?? [])).toEqual({
    realm: "https://a/t?x=1,2",
    service: 'say "hi"',
    scope: "plain",
  });
});

test.each([
  { name: "bearer before basic", header: 'Basic realm="x", Bearer realm="https://a/t"', kind: "bearer" },
  {
    name: "basic where a realm is no address",
    header: 'Bearer realm="file:///etc/passwd", Basic realm="x"',
    kind: "basic",
  },
  { name: "nothing we can answer", header: "Negotiate", kind: undefined },
])("challengeIn prefers $name", ({ header, kind }) => {
  expect(challengeIn({ headers: new Map([["www-authenticate", [header]]]) })?.kind).toBe(kind);
});
