import { mkdirSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { kilnBeside, missing, temporary } from "./harness.ts";

const why = missing();
if (why !== undefined) console.warn(`the tests of proxies are skipped: ${why}`);

/** The program as it is installed loads a part of its HTTP client only, and proxies must be in it. */
describe.skipIf(why !== undefined)("proxies", () => {
  const folder = temporary();
  afterAll(() => folder[Symbol.dispose]());

  async function startProxy(): Promise<{ readonly url: string; readonly asked: readonly string[] } & AsyncDisposable> {
    const asked: string[] = [];
    const note = (request: IncomingMessage): void => void asked.push(`${request.method} ${request.url}`);
    const server = createServer((request, response) => {
      note(request);
      response.end("from the proxy");
    });
    server.on("connect", (request, socket) => {
      note(request);
      socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
    });
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    return {
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      asked,
      async [Symbol.asyncDispose]() {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      },
    };
  }

  test("files come through HTTP_PROXY, and registries are asked through HTTPS_PROXY", async () => {
    await using proxy = await startProxy();
    const store = join(folder.path, "store");
    const context = join(folder.path, "context");
    mkdirSync(context);
    writeFileSync(join(context, "Dockerfile"), "FROM scratch\nADD http://files.example/it /it\n");
    const env = {
      HTTP_PROXY: proxy.url,
      HTTPS_PROXY: proxy.url,
      NO_PROXY: "",
      http_proxy: "",
      https_proxy: "",
      no_proxy: "",
    };
    expect(await kilnBeside(store, ["build", "-q", context], { env })).toMatchObject({ status: 0, stderr: "" });
    expect(await kilnBeside(store, ["pull", "registry.example/app"], { env })).toMatchObject({ status: 1 });
    expect(proxy.asked).toContain("GET http://files.example/it");
    expect(proxy.asked).toContain("CONNECT registry.example:443");
  });
});
