import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createFetch } from "./fetch.ts";

const asked: string[] = [];
const proxy = createServer((request, response) => {
  asked.push(`${request.url} ${String(request.headers["x-asked"])}`);
  if (request.url === "http://far.invalid/moved") response.writeHead(302, { location: "http://near.invalid/" });
  response.end("from the proxy");
});

beforeAll(() => new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve)));
afterAll(() => proxy.close());

test("requests and their redirects go through the proxy", async () => {
  const http = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  await using client = createFetch(() => ({ proxy: { http } }));
  const { signal } = new AbortController();
  const response = await client.fetch("http://far.invalid/moved", { headers: new Headers({ "x-asked": "1" }), signal });
  expect(await response.text()).toBe("from the proxy");
  expect(asked).toEqual(["http://far.invalid/moved 1", "http://near.invalid/ 1"]);
});

test("what NO_PROXY names is asked directly", async () => {
  const http = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  await using client = createFetch(() => ({ proxy: { http, noProxy: "far.invalid" } }));
  const { signal } = new AbortController();
  await expect(client.fetch("http://far.invalid/", { signal })).rejects.toThrow("fetch failed");
});
