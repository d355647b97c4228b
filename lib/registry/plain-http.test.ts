import { createServer as createHttp } from "node:http";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { createServer as createTls } from "node:tls";
import { expect, test } from "vitest";
import { speaksPlainHttp } from "./plain-http.ts";

const { signal } = new AbortController();

const answering = (answer: (socket: Socket) => void): Server =>
  createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => answer(socket));
  });

test.each([
  { what: "HTTP", server: () => createHttp((_, response) => response.end()), isPlain: true },
  { what: "TLS", server: () => createTls({}), isPlain: false },
  { what: "silence", server: () => answering(() => undefined), isPlain: false },
  { what: "a closed connection", server: () => answering((socket) => socket.destroy()), isPlain: false },
  { what: "something else", server: () => answering((socket) => socket.write("SSH-2.0-x\r\n")), isPlain: false },
])("a server that speaks $what", async ({ server: make, isPlain }) => {
  const server = make();
  const open = new Set<Socket>();
  server.on("connection", (socket: Socket) => open.add(socket));
  server.on("tlsClientError", () => undefined);
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  try {
    const { port } = server.address() as AddressInfo;
    expect(await speaksPlainHttp(new URL(`https://127.0.0.1:${port}/v2/`), signal)).toBe(isPlain);
  } finally {
    for (const socket of open) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
});

test("nothing at the port is for the ordinary way to report", async () => {
  expect(await speaksPlainHttp(new URL("https://127.0.0.1:1/v2/"), signal)).toBe(false);
  expect(await speaksPlainHttp(new URL("https://[::1]:1/v2/"), AbortSignal.abort())).toBe(false);
});
