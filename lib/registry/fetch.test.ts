import { type Server, createServer } from "node:http";
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

test("hosts in NO_PROXY are asked directly", async () => {
  const http = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  await using client = createFetch(() => ({ proxy: { http, noProxy: "far.invalid" } }));
  const { signal } = new AbortController();
  await expect(client.fetch("http://far.invalid/", { signal })).rejects.toThrow("far.invalid");
});

test("any port is asked, with credentials that no other host gets to see", async () => {
  const seen: string[] = [];
  const other = createServer((request, response) => {
    seen.push(`other ${String(request.headers.authorization)}`);
    response.writeHead(304, { etag: "x" }).end();
  });
  const server = createServer((request, response) => {
    seen.push(`${String(request.url)} ${String(request.headers.authorization)}`);
    const { port } = other.address() as AddressInfo;
    if (request.url === "/there") response.writeHead(307, { location: `http://127.0.0.1:${port}/` }).end();
    else response.writeHead(301, { location: "/there" }).end("moved");
  });
  // A port that browsers refuse.
  const port = await listenOnOneOf(server, [6000, 6566, 6665, 6666, 6667, 6668, 6669, 6697, 10_080]);
  await listenOnOneOf(other, [0]);
  await using client = createFetch(() => ({}));
  const { signal } = new AbortController();
  const basic = "Basic bWU6c2VjcmV0";
  const headers = new Headers({ authorization: basic });
  const answer = await client.fetch(`http://127.0.0.1:${port}/`, { headers, signal });
  expect([answer.status, answer.headers.get("etag"), answer.body]).toEqual([304, "x", null]);
  expect(seen).toEqual([`/ ${basic}`, `/there ${basic}`, "other undefined"]);
  server.close();
  other.close();
});

test("redirects in a circle end", async () => {
  const server = createServer((_, response) => response.writeHead(302, { location: "/again" }).end());
  const port = await listenOnOneOf(server, [0]);
  await using client = createFetch(() => ({}));
  const { signal } = new AbortController();
  await expect(client.fetch(`http://127.0.0.1:${port}/`, { signal })).rejects.toThrow("redirects more than 20 times");
  server.close();
});

/** Listens on the first free port and returns it. */
async function listenOnOneOf(server: Server, ports: readonly number[]): Promise<number> {
  for (const port of ports) {
    const isFree = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false)).listen(port, "127.0.0.1", () => resolve(true));
    });
    if (isFree) return (server.address() as AddressInfo).port;
  }
  throw new Error("no port is free");
}
