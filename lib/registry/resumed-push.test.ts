import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { afterEach, describe, expect, test } from "vitest";
import { startTestRegistry, type TestRegistry, type TestRegistryOptions } from "../../test/support/registry.ts";
import { digestOf } from "../core/digest.ts";
import { parseReference } from "../core/reference.ts";
import { createRegistryClient } from "./client.ts";
import type { BlobSource, RegistryClient } from "./registry.ts";

const MIB = 1 << 20;
const { signal } = new AbortController();
const bytes = randomBytes(6 * MIB);
const digest = digestOf(bytes);

const open: AsyncDisposable[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((resource) => resource[Symbol.asyncDispose]()));
});

async function serve(options: TestRegistryOptions = {}): Promise<{
  readonly registry: TestRegistry;
  readonly client: RegistryClient;
  readonly target: ReturnType<typeof parseReference>;
}> {
  const registry = await startTestRegistry(options);
  const client = createRegistryClient({
    credentials: { get: async () => undefined },
    userAgent: "kiln-test",
    clock: { nowMs: () => 0 },
    timer: { async wait() {} },
  });
  open.push(client, registry);
  return { registry, client, target: parseReference(`${registry.host}/team/app:1`) };
}

/** A source that counts how it is opened. */
function source(how: "from anywhere" | "from the beginning"): BlobSource & { readonly opened: string[] } {
  const opened: string[] = [];
  const stream = (offset: number): Readable => {
    opened.push(`at ${offset}`);
    const pieces = function* (): Generator<Buffer> {
      for (let at = offset; at < bytes.length; at += 300_000) yield bytes.subarray(at, at + 300_000);
    };
    return Readable.from(pieces());
  };
  const openAt = how === "from anywhere" ? { openAt: stream } : {};
  return { descriptor: { digest, size: bytes.length }, open: () => stream(0), opened, ...openAt };
}

function requestsOf(registry: TestRegistry): string[] {
  return registry.requests.map(({ method, headers }) =>
    `${method} ${headers["content-range"]?.toString() ?? ""}`.trim(),
  );
}

function expectBlob(registry: TestRegistry): void {
  expect(registry.blobs.get(digest)?.equals(bytes)).toBe(true);
}

describe("an upload that is cut", () => {
  test.each(["from anywhere", "from the beginning"] as const)("goes on where the registry is, read %s", async (how) => {
    const { registry, client, target } = await serve();
    registry.fail({ method: "PUT", path: /uploads/, kind: { kind: "cut", afterBytes: 4_000_000 } });
    const blob = source(how);
    const sent: number[] = [];
    await client.uploadBlob(target, { ...blob, onProgress: (count) => sent.push(count) }, signal);
    expectBlob(registry);
    const end = bytes.length - 1;
    expect(requestsOf(registry)).toEqual(["POST", "PUT", "GET", `PATCH 4000000-${end}`, "PUT"]);
    expect(blob.opened).toEqual(["at 0", how === "from anywhere" ? "at 4000000" : "at 0"]);
    expect(sent.at(-1)).toBe(bytes.length);
  });

  test("many times ends well as long as it gets on", async () => {
    const { registry, client, target } = await serve();
    registry.fail({ method: "PUT", path: /uploads/, kind: { kind: "cut", afterBytes: MIB } });
    registry.fail({ method: "PATCH", path: /uploads/, kind: { kind: "cut", afterBytes: MIB }, times: 4 });
    await client.uploadBlob(target, source("from anywhere"), signal);
    expectBlob(registry);
    expect(registry.requests.filter(({ method }) => method === "POST")).toHaveLength(1);
  });

  test("again and again after a few bytes fails", async () => {
    const { registry, client, target } = await serve();
    for (const method of ["PUT", "PATCH"])
      registry.fail({ method, path: /uploads/, kind: { kind: "cut", afterBytes: 10 }, times: 1000 });
    await expect(client.uploadBlob(target, source("from anywhere"), signal)).rejects.toThrow(/closed the connection/);
    expect(registry.requests.length).toBeLessThan(20);
  });

  test("and is refused for good leaves no upload at the registry", async () => {
    const { registry, client, target } = await serve();
    registry.fail({ method: "PUT", path: /uploads/, kind: { kind: "status", status: 403 } });
    await expect(client.uploadBlob(target, source("from anywhere"), signal)).rejects.toThrow(/answered 403/);
    expect(requestsOf(registry)).toEqual(["POST", "PUT", "DELETE"]);
  });

  test("begins again where the registry does not say how far it got", async () => {
    const { registry, client, target } = await serve({ tellsUploads: false });
    registry.fail({ method: "PUT", path: /uploads/, kind: { kind: "cut", afterBytes: 4_000_000 } });
    await client.uploadBlob(target, source("from anywhere"), signal);
    expectBlob(registry);
    expect(requestsOf(registry)).toEqual(["POST", "PUT", "GET", "POST", "PUT"]);
  });
});

describe("chunks", () => {
  test("go on where the registry says that it stopped", async () => {
    const { registry, client, target } = await serve({ refuseWholeUploads: 413 });
    registry.fail({ method: "PATCH", path: /uploads/, kind: { kind: "short", bytes: 1_500_000 }, times: 2 });
    await client.uploadBlob(target, source("from anywhere"), signal);
    expectBlob(registry);
    const end = bytes.length - 1;
    const patches = requestsOf(registry).filter((request) => request.startsWith("PATCH"));
    expect(patches).toEqual([`PATCH 0-${end}`, `PATCH 1500000-${end}`, `PATCH 3000000-${end}`]);
  });

  test("that are never taken are an error", async () => {
    const { registry, client, target } = await serve({ refuseWholeUploads: 413 });
    registry.fail({ method: "PATCH", path: /uploads/, kind: { kind: "short", bytes: 0 }, times: 1000 });
    await expect(client.uploadBlob(target, source("from anywhere"), signal)).rejects.toThrow(
      /takes no more than 0 bytes/,
    );
    expect(registry.requests.length).toBeLessThan(50);
  });

  test("are as large as the registry wants them", async () => {
    const least = 20 * MIB;
    const big = randomBytes(least + 5000);
    const { registry, client, target } = await serve({ refuseWholeUploads: 413, leastChunkBytes: least });
    const blob = { descriptor: { digest: digestOf(big), size: big.length }, open: () => Readable.from([big]) };
    await client.uploadBlob(target, blob, signal);
    expect(registry.blobs.get(digestOf(big))?.equals(big)).toBe(true);
    const patches = requestsOf(registry).filter((request) => request.startsWith("PATCH"));
    expect(patches).toEqual([`PATCH 0-${least - 1}`, `PATCH ${least}-${big.length - 1}`]);
  });

  test("are as small as a proxy on the way wants them", async () => {
    const { registry, client, target } = await serve({ maxBodyBytes: 1_000_000 });
    await client.uploadBlob(target, source("from anywhere"), signal);
    expect(registry.blobs.get(digest)?.equals(bytes)).toBe(true);
  });
});

describe("a blob that is sent while it is made", () => {
  const pieces = (offset: number): AsyncIterable<Buffer> =>
    source("from anywhere").openAt?.(offset, signal) as Readable;

  test.each([
    { name: "cut", fault: { kind: "cut", afterBytes: 2_000_000 } },
    { name: "taken in part", fault: { kind: "short", bytes: 2_000_000 } },
  ] as const)("goes on when it is $name", async ({ fault }) => {
    const { registry, client, target } = await serve();
    registry.fail({ method: "PATCH", path: /uploads/, kind: fault, times: 2 });
    const streamed = await client.streamBlob(target, pieces, signal);
    await streamed.finish(digest, signal);
    expectBlob(registry);
    expect(registry.requests.filter(({ method }) => method === "POST")).toHaveLength(1);
  });

  test("and is not needed leaves nothing at the registry", async () => {
    const { registry, client, target } = await serve();
    const streamed = await client.streamBlob(target, pieces, signal);
    await streamed.cancel();
    expect(registry.requests.at(-1)?.method).toBe("DELETE");
    await expect(streamed.finish(digest, signal)).rejects.toThrow(/no such upload/);
  });
});
