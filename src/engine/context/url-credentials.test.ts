import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { testEnvironment } from "../../../test/support/environment.ts";
import { BuildError } from "../../../lib/core/errors.ts";
import { build } from "../build.ts";
import { Engine } from "../engine.ts";

const signal = new AbortController().signal;
const server = createServer(({ url: path }, response) => {
  response.end(path === "/good" ? "FROM scratch\nLABEL a=b\n" : "FROM scratch\nBOGUS\n");
});
let home = "";
let url = "";
beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), "kiln-credentials-"));
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  url = `http://bob:hunter2@127.0.0.1:${(server.address() as AddressInfo).port}/Dockerfile`;
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(home, { recursive: true, force: true });
});

test.each([
  { name: "context", options: () => ({ context: url }) },
  { name: "Dockerfile", options: () => ({ context: home, dockerfile: url }) },
])("credentials in the URL of a $name are not shown", async ({ options }) => {
  const environment = testEnvironment(join(home, "store"));
  const failed: unknown = await build(options(), environment, signal).catch((error: unknown) => error);
  if (!(failed instanceof BuildError)) throw new Error("It was built");
  expect(failed.code).toBe("dockerfile/unknown-instruction");
  expect(failed.span?.source.name).toBe(url.replace("bob:hunter2@", ""));
});

test("credentials in the URL of a context are not kept in the report of the build", async () => {
  const environment = testEnvironment(join(home, "store"));
  await build({ context: url.replace("/Dockerfile", "/good") }, environment, signal);
  await using engine = new Engine(environment, { progress: () => {} });
  const kept = [...engine.store.builds.list()];
  expect(kept).toHaveLength(1);
  expect(JSON.stringify(kept)).not.toContain("hunter2");
});
