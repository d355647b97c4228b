import { expect, test } from "vitest";
import { redactor } from "./redact.ts";

test("secret values go wherever they occur, others stay", () => {
  const clean = redactor([
    ["NPM_TOKEN", "s3cr3t-value"],
    ["NPM_TOKEN_LONG_PASSWORD", "s3cr3t-value-and-more"],
    ["API_KEY", "ab"],
    ["VERSION", "1.2.3"],
    ["TOKEN_FILE", "/run/token"],
  ]);
  const document = {
    args: { "build-arg:NPM_TOKEN": "s3cr3t-value", "build-arg:API_KEY": "ab", "build-arg:VERSION": "1.2.3" },
    env: ["NPM_TOKEN=s3cr3t-value", "API_KEY=ab", "TOKEN_FILE=/run/token", "A=x"],
    argv: ["curl", "-H", "token: s3cr3t-value-and-more", "cab"],
    uri: "https://user:pw@example.com/repo.git",
    count: 1,
  };
  expect(clean(document)).toEqual({
    args: { "build-arg:NPM_TOKEN": "***", "build-arg:API_KEY": "***", "build-arg:VERSION": "1.2.3" },
    env: ["NPM_TOKEN=***", "API_KEY=***", "TOKEN_FILE=/run/token", "A=x"],
    argv: ["curl", "-H", "token: ***", "cab"],
    uri: "https://example.com/repo.git",
    count: 1,
  });
});
