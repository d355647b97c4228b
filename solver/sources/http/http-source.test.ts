import { mkdtempSync, readFileSync, statSync } from "node:fs";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { digestOf } from "../../../lib/core/digest.ts";
import { messageOf } from "../../../lib/core/errors.ts";
import type { HttpOp } from "../../graph/op.ts";
import { Workbench } from "../../testing/workbench.ts";
import { createHttpSource } from "./http-source.ts";

const never = new AbortController().signal;
const DATE = "Wed, 21 Oct 2015 07:28:00 GMT";

/** Starts a web server with one changeable file, and records its requests. */
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
  // One source is one build.
  const source = {
    find: async (op: HttpOp) => createHttpSource({ store: bench.store, fetch, secrets: noSecrets }).find(op, never),
  };
  const first = await source.find(opOf(server.url));
  const second = await source.find(opOf(server.url));
  expect(second.parts).toEqual(first.parts);
  expect(server.asked).toEqual([{}, { ifNoneMatch: expect.stringMatching(/^".*"$/) as string }]);
  const directory = mkdtempSync(join(bench.directory, "out-"));
  await second.writeTo(directory, never);
  const path = join(directory, "file.txt");
  expect(readFileSync(path, "utf8")).toBe("hello");
  expect(statSync(path).mode & 0o7777).toBe(0o600);
  expect(statSync(path).mtimeMs).toBe(Date.parse(DATE));
  server.body = "changed";
  const third = await source.find(opOf(server.url));
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

test("a percent sign in a password that escapes nothing means itself", async () => {
  await using bench = new Workbench();
  await using server = await startServer();
  const source = createHttpSource({ store: bench.store, fetch, secrets: noSecrets });
  await source.find(opOf(server.url.replace("http://", "http://me:50%@")), never);
  expect(server.asked[0]?.authorization).toBe(`Basic ${Buffer.from("me:50%").toString("base64")}`);
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

/** Starts a server that answers with one row after another, and records its requests. */
async function startScript(
  answers: readonly { readonly headers?: Record<string, string>; readonly body?: string; readonly status?: number }[],
): Promise<AsyncDisposable & { readonly url: string; readonly asked: IncomingHttpHeaders[] }> {
  const asked: IncomingHttpHeaders[] = [];
  const server = createServer((request, response) => {
    asked.push(request.headers);
    const { status = 200, headers = {}, body = "" } = answers[asked.length - 1] ?? { status: 500 };
    response.writeHead(status, headers).end(status === 304 ? undefined : body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/file`,
    asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const LONG_AGO = "Tue, 20 Oct 2015 07:28:00 GMT";
const YESTERDAY = "Wed, 20 Oct 2021 07:28:00 GMT";
const NOW = "Thu, 21 Oct 2021 07:28:00 GMT";

test.each([
  {
    name: "rolled back to an older date",
    first: { headers: { "last-modified": YESTERDAY, date: NOW }, body: "new" },
    later: { headers: { "last-modified": LONG_AGO, date: NOW }, body: "old" },
  },
  {
    name: "changed under the same date",
    first: { headers: { "last-modified": YESTERDAY, date: NOW }, body: "one" },
    later: { headers: { "last-modified": YESTERDAY, date: NOW }, body: "two" },
  },
  {
    name: "with a weak tag that stays",
    first: { headers: { etag: 'W/"1"' }, body: "one" },
    later: { headers: { etag: 'W/"1"' }, body: "two" },
  },
  {
    name: "with a tag of size and second, changed within the second in which it was got",
    first: { headers: { etag: '"5-3"', "last-modified": NOW, date: NOW }, body: "one" },
    later: { headers: { etag: '"5-3"', "last-modified": NOW, date: NOW }, body: "two" },
  },
  {
    name: "with a tag that is none",
    first: { headers: { etag: "1" }, body: "one" },
    later: { headers: { etag: "1" }, body: "two" },
  },
  { name: "with nothing to ask by", first: { body: "one" }, later: { body: "two" } },
])("a file $name is got again, and its digest decides", async ({ first, later }) => {
  await using bench = new Workbench();
  await using server = await startScript([first, later]);
  const find = async (): Promise<unknown> => {
    const source = createHttpSource({ store: bench.store, fetch, secrets: noSecrets });
    return (await source.find(opOf(server.url), never)).parts.find(({ name }) => name === "content")?.value;
  };
  expect(await find()).toBe(digestOf(first.body));
  expect(await find()).toBe(digestOf(later.body));
  expect(server.asked.map((headers) => headers["if-none-match"] ?? headers["if-modified-since"])).toEqual([
    undefined,
    undefined,
  ]);
});

test.each([
  { name: "with another tag", answers: [{ status: 304, headers: { etag: '"2"' } }, { body: "two" }], finds: "two" },
  { name: "for the tag", answers: [{ status: 304, headers: { etag: '"1"' } }], finds: "one" },
  { name: "without a tag", answers: [{ status: 304 }], finds: "one" },
])("an answer of 304 $name", async ({ answers, finds }) => {
  await using bench = new Workbench();
  await using server = await startScript([{ headers: { etag: '"1"' }, body: "one" }, ...answers]);
  const find = async (): Promise<unknown> => {
    const source = createHttpSource({ store: bench.store, fetch, secrets: noSecrets });
    return (await source.find(opOf(server.url), never)).parts.find(({ name }) => name === "content")?.value;
  };
  await find();
  expect(await find()).toBe(digestOf(finds));
  expect(server.asked[1]?.["if-none-match"]).toBe('"1"');
});

test("a 304 to an unconditional request is an error", async () => {
  await using bench = new Workbench();
  await using server = await startScript([{ status: 304 }]);
  const found = createHttpSource({ store: bench.store, fetch, secrets: noSecrets }).find(opOf(server.url), never);
  await expect(found).rejects.toMatchObject({ code: "source/http" });
});

test("a redirect that leads elsewhere makes old tags worthless", async () => {
  await using bench = new Workbench();
  const tagged = { etag: '"1"' };
  await using server = await startScript([
    { status: 302, headers: { location: "/v1" } },
    { headers: tagged, body: "one" },
    { status: 302, headers: { location: "/v2" } },
    { status: 304, headers: tagged },
    { status: 302, headers: { location: "/v2" } },
    { headers: tagged, body: "two" },
  ]);
  for (const text of ["one", "two"]) {
    const source = createHttpSource({ store: bench.store, fetch, secrets: noSecrets });
    const { parts } = await source.find(opOf(server.url), never);
    expect(parts).toContainEqual({ name: "content", value: digestOf(text) });
  }
});

test("without the cache the bytes themselves are asked for", async () => {
  await using bench = new Workbench();
  await using server = await startServer();
  for (const again of [false, true]) {
    await createHttpSource({ store: bench.store, fetch, secrets: noSecrets }).find(
      { ...opOf(server.url), again },
      never,
    );
  }
  expect(server.asked).toEqual([{}, {}]);
});

test("one build asks once", async () => {
  await using bench = new Workbench();
  await using server = await startServer();
  const source = createHttpSource({ store: bench.store, fetch, secrets: noSecrets });
  await Promise.all([1, 2, 3].map(async () => source.find(opOf(server.url), never)));
  expect(server.asked).toHaveLength(1);
});

test("offline, what was got before is good, and nothing else is", async () => {
  await using bench = new Workbench();
  await using server = await startServer();
  const online = createHttpSource({ store: bench.store, fetch, secrets: noSecrets });
  const { parts } = await online.find(opOf(server.url), never);
  const offline = createHttpSource({ store: bench.store, fetch, secrets: noSecrets, isOffline: true });
  expect((await offline.find(opOf(server.url), never)).parts).toEqual(parts);
  await expect(offline.find(opOf(`${server.url}2`), never)).rejects.toThrow("the build is to be offline");
  expect(server.asked).toHaveLength(1);
});

test("a server that is not there is named", async () => {
  await using bench = new Workbench();
  const source = createHttpSource({ store: bench.store, fetch, secrets: noSecrets });
  await expect(source.find(opOf("http://127.0.0.1:1/file"), never)).rejects.toThrow(
    'Cannot download "http://127.0.0.1:1/file": ',
  );
});
