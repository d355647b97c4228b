import { mkdtempSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { digestOf } from "../../../src/core/digest.ts";
import { messageOf } from "../../../src/core/errors.ts";
import type { HttpOp } from "../../graph/op.ts";
import { Workbench } from "../../testing/workbench.ts";
import { createHttpSource } from "./http-source.ts";

const never = new AbortController().signal;
const DATE = "Wed, 21 Oct 2015 07:28:00 GMT";

/** A web server with one changeable file, and what it was asked. */
async function startServer(): Promise<
  AsyncDisposable & {
    url: string;
    body: string;
    status: number;
    asked: { ifNoneMatch?: string; authorization?: string }[];
  }
> {
  const state = { body: "hello", status: 200, asked: [] as { ifNoneMatch?: string; authorization?: string }[] };
  const server = createServer((request, response) => {
    const { "if-none-match": ifNoneMatch, authorization } = request.headers;
    state.asked.push({ ...(ifNoneMatch && { ifNoneMatch }), ...(authorization && { authorization }) });
    const etag = `"${digestOf(state.body).slice(7, 20)}"`;
    if (state.status !== 200) response.writeHead(state.status).end();
    else if (ifNoneMatch === etag) response.writeHead(304).end();
    else response.writeHead(200, { etag, "last-modified": DATE }).end(state.body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return Object.assign(state, {
    url: `http://127.0.0.1:${port}/file.txt`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}

const opOf = (url: string, over: Partial<HttpOp> = {}): HttpOp => ({
  kind: "http",
  url,
  filename: "file.txt",
  checksum: undefined,
  mode: 0o600,
  uid: 0,
  gid: 0,
  ...over,
});

const noSecrets = { get: async (): Promise<undefined> => undefined };

test("a file is fetched once and then asked about", async () => {
  await using bench = new Workbench();
  await using server = await startServer();
  const source = createHttpSource({ store: bench.store, fetch, secrets: noSecrets });
  const first = await source.find(opOf(server.url), never);
  const second = await source.find(opOf(server.url), never);
  expect(second.parts).toEqual(first.parts);
  expect(server.asked).toEqual([{}, { ifNoneMatch: expect.stringMatching(/^".*"$/) as string }]);
  const directory = mkdtempSync(join(bench.directory, "out-"));
  await second.writeTo(directory, never);
  const path = join(directory, "file.txt");
  expect(readFileSync(path, "utf8")).toBe("hello");
  expect(statSync(path).mode & 0o7777).toBe(0o600);
  expect(statSync(path).mtimeMs).toBe(Date.parse(DATE));
  server.body = "changed";
  const third = await source.find(opOf(server.url), never);
  expect(third.parts).not.toEqual(first.parts);
});

test("a checksum that fits what is in the store needs no network; one that does not fit is an error", async () => {
  await using bench = new Workbench();
  await using server = await startServer();
  const source = createHttpSource({ store: bench.store, fetch, secrets: noSecrets });
  const checksum = digestOf("hello");
  await source.find(opOf(server.url, { checksum }), never);
  await source.find(opOf(server.url, { checksum }), never);
  expect(server.asked).toHaveLength(1);
  const wrong = source.find(opOf(server.url, { checksum: digestOf("other") }), never);
  await expect(wrong).rejects.toMatchObject({ code: "source/http" });
});

test("credentials in the URL become a header and stay out of messages", async () => {
  await using bench = new Workbench();
  await using server = await startServer();
  const source = createHttpSource({ store: bench.store, fetch, secrets: noSecrets });
  server.status = 403;
  const url = server.url.replace("http://", "http://me:hunter2@");
  const error = await source.find(opOf(url), never).catch((failure: unknown) => failure);
  expect(messageOf(error)).toContain("the server answered 403");
  expect(messageOf(error)).not.toContain("hunter2");
  expect(server.asked[0]?.authorization).toBe(`Basic ${Buffer.from("me:hunter2").toString("base64")}`);
});

test("a token for the host is sent", async () => {
  await using bench = new Workbench();
  await using server = await startServer();
  const secrets = {
    get: async (id: string) => (id === "HTTP_AUTH_TOKEN_127.0.0.1" ? Buffer.from("t0ken\n") : undefined),
  };
  await createHttpSource({ store: bench.store, fetch, secrets }).find(opOf(server.url), never);
  expect(server.asked[0]?.authorization).toBe("Bearer t0ken");
});

test("a server that is not there is named", async () => {
  await using bench = new Workbench();
  const source = createHttpSource({ store: bench.store, fetch, secrets: noSecrets });
  await expect(source.find(opOf("http://127.0.0.1:1/file"), never)).rejects.toThrow(
    'Cannot download "http://127.0.0.1:1/file": ',
  );
});
