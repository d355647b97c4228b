import { createServer } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { messageOf } from "../../../lib/core/errors.ts";
import { digestOf } from "../../../lib/core/digest.ts";
import { createFetch } from "../../../lib/registry/fetch.ts";
import { Workbench } from "../../testing/workbench.ts";
import { createHttpSource } from "./http-source.ts";

const { signal } = new AbortController();
const LARGE = "x".repeat(300_000);

/** Raw answers of a server. */
const RAW: Readonly<Record<string, (socket: Socket) => void>> = {
  "404 with a body": (socket) =>
    socket.end(`HTTP/1.1 404 Not Found\r\ncontent-length: ${LARGE.length}\r\n\r\n${LARGE}`),
  "500 with a slow body": (socket) => {
    socket.write("HTTP/1.1 500 Oops\r\ncontent-length: 300000\r\n\r\n");
    const timer = setInterval(() => socket.write("x".repeat(1000)), 1);
    socket.on("close", () => clearInterval(timer));
  },
  "403 without a length": (socket) => socket.end(`HTTP/1.1 403 Forbidden\r\nconnection: close\r\n\r\n${LARGE}`),
  "fewer bytes than promised": (socket) => socket.end("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc"),
  "chunks without an end": (socket) => socket.end("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"),
  "chunks that are none": (socket) => socket.end("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n"),
  "no HTTP": (socket) => socket.end("hello\r\n\r\n"),
  "nothing at all": (socket) => socket.destroy(),
  "a redirect in a circle": (socket) =>
    socket.end("HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 3\r\n\r\nabc"),
  "a redirect to what is no URL": (socket) =>
    socket.end("HTTP/1.1 302 Found\r\nlocation: http://[::\r\ncontent-length: 0\r\n\r\n"),
  "a redirect to a file": (socket) =>
    socket.end("HTTP/1.1 302 Found\r\nlocation: file:///etc/passwd\r\ncontent-length: 0\r\n\r\n"),
  "a redirect to nowhere": (socket) => socket.end("HTTP/1.1 302 Found\r\ncontent-length: 3\r\n\r\nabc"),
  "no content": (socket) => socket.end("HTTP/1.1 204 No Content\r\n\r\n"),
  "a part": (socket) => socket.end("HTTP/1.1 206 Partial Content\r\ncontent-length: 3\r\n\r\nabc"),
  "gzip that is none": (socket) =>
    socket.end("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nnope"),
  "gzip that is cut short": (socket) => {
    const half = gzipSync(LARGE).subarray(0, 100);
    socket.end(
      Buffer.concat([Buffer.from("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 100\r\n\r\n"), half]),
    );
  },
};

describe("ADD of a URL", () => {
  const server = createServer();
  let answer: (socket: Socket) => void = () => undefined;
  let url = "";
  beforeAll(async () => {
    server.on("request", ({ socket }) => answer(socket));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = `http://me:hunter2@127.0.0.1:${(server.address() as AddressInfo).port}/x?key=hunter3`;
  });
  afterAll(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const op = (given: string): Parameters<ReturnType<typeof createHttpSource>["find"]>[0] => {
    return { kind: "http", url: given, filename: "x", checksum: undefined, mode: 0o600, uid: 0, gid: 0 };
  };

  test.each(Object.entries(RAW))("%s is one error that names the URL and no credentials", async (_name, raw) => {
    await using bench = new Workbench();
    await using connected = createFetch(() => ({}));
    const secrets = { get: async (): Promise<undefined> => undefined };
    answer = raw;
    const source = createHttpSource({ store: bench.store, fetch: connected.fetch, secrets });
    const error = await source.find(op(url), signal).catch((failure: unknown) => failure);
    expect(error).toMatchObject({ code: "source/http" });
    expect(messageOf(error)).toMatch(/^Cannot download "http:\/\/127\.0\.0\.1:\d+\/x\?\.\.\.": \S/);
    expect(messageOf(error)).not.toMatch(/hunter/);
  });

  test.each([
    { name: "a name that is not encoded well", given: "http://%E0%A4%A@127.0.0.1:1/x", token: undefined },
    { name: "a token of several lines", given: "http://127.0.0.1:1/x", token: "two\nlines" },
    { name: "no URL", given: "http://", token: undefined },
  ])("$name is an error of the same kind", async ({ given, token }) => {
    await using bench = new Workbench();
    const secrets = { get: async () => (token === undefined ? undefined : Buffer.from(token)) };
    const source = createHttpSource({ store: bench.store, fetch, secrets });
    await expect(source.find(op(given), signal)).rejects.toMatchObject({ code: "source/http" });
  });

  test("a file that comes compressed is what it is uncompressed", async () => {
    await using bench = new Workbench();
    await using connected = createFetch(() => ({}));
    const bytes = gzipSync("plain");
    answer = (socket) => {
      const head = `HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: ${bytes.length}\r\n\r\n`;
      socket.end(Buffer.concat([Buffer.from(head), bytes]));
    };
    const secrets = { get: async (): Promise<undefined> => undefined };
    const { parts } = await createHttpSource({ store: bench.store, fetch: connected.fetch, secrets }).find(
      op(url),
      signal,
    );
    expect(parts).toContainEqual({ name: "content", value: digestOf("plain") });
  });
});
