import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { dockerProxies } from "./docker-proxies.ts";

let directory = "";
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "kiln-config-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

test("the default proxies become build arguments in both cases", async () => {
  const proxies = { default: { httpProxy: "http://p:1", noProxy: "a,b", httpsProxy: "", other: "x" }, "tcp://x": {} };
  await writeFile(join(directory, "config.json"), JSON.stringify({ proxies }));
  expect(dockerProxies(directory)).toEqual({
    HTTP_PROXY: "http://p:1",
    http_proxy: "http://p:1",
    NO_PROXY: "a,b",
    no_proxy: "a,b",
  });
});

test.each([{ text: undefined }, { text: "{" }, { text: "[]" }, { text: '{"proxies":{"default":1}}' }])(
  "no proxies in $text",
  async ({ text }) => {
    if (text !== undefined) await writeFile(join(directory, "config.json"), text);
    expect(dockerProxies(directory)).toEqual({});
  },
);
