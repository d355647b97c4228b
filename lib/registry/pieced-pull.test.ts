import { randomBytes } from "node:crypto";
import type { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { afterEach, describe, expect, test } from "vitest";
import { dockerRegistryMissing, startDockerRegistry } from "../../test/support/docker-registry.ts";
import { type Fault, startTestRegistry, type TestRegistry } from "../../test/support/registry.ts";
import { BuildError } from "../core/errors.ts";
import { digestOf } from "../core/digest.ts";
import { parseReference } from "../core/reference.ts";
import { createRegistryClient } from "./client.ts";
import { LEAST_PIECED_BYTES, PIECE_BYTES } from "./pull-pieces.ts";
import type { RegistryClient } from "./registry.ts";

const { signal } = new AbortController();
const bytes = Buffer.concat([randomBytes(PIECE_BYTES * 2), Buffer.alloc(LEAST_PIECED_BYTES, 7), randomBytes(999)]);
const blob = { digest: digestOf(bytes), size: bytes.length };
const PIECES = Math.ceil(bytes.length / PIECE_BYTES);

const open: AsyncDisposable[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((resource) => resource[Symbol.asyncDispose]()));
});

function connect(host: string): {
  readonly client: RegistryClient;
  readonly target: ReturnType<typeof parseReference>;
} {
  const client = createRegistryClient({
    credentials: { get: async () => undefined },
    userAgent: "kiln-test",
    clock: { nowMs: () => 0 },
    timer: { async wait() {} },
  });
  open.push(client);
  return { client, target: parseReference(`${host}/team/app:1`) };
}

async function serve(content: Buffer = bytes): Promise<TestRegistry> {
  const registry = await startTestRegistry();
  open.push(registry);
  registry.addBlob(content);
  return registry;
}

function rangesOf(registry: TestRegistry): string[] {
  return registry.requests.map(({ headers }) => String(headers["range"]));
}

describe("a large blob", () => {
  test("comes in pieces over several connections, in order, from the beginning or later", async () => {
    const registry = await serve();
    const { client, target } = connect(registry.host);
    expect((await buffer(await client.fetchBlob(target, blob, signal))).equals(bytes)).toBe(true);
    expect(rangesOf(registry)).toHaveLength(PIECES);
    expect(rangesOf(registry)[1]).toBe(`bytes=${PIECE_BYTES}-${2 * PIECE_BYTES - 1}`);
    const rest = await buffer(await client.openBlob(target, blob, 1000, signal));
    expect(rest.equals(bytes.subarray(1000))).toBe(true);
  });

  test.each<{ readonly name: string; readonly fault: Fault; readonly ranges: number }>([
    { name: "knows no ranges", fault: { path: /blobs/, kind: { kind: "no-range" }, times: 1000 }, ranges: 1 },
    {
      name: "breaks off in a piece",
      fault: { path: /blobs/, kind: { kind: "drop", afterBytes: 5_000_000 }, times: 3 },
      ranges: PIECES,
    },
    {
      name: "refuses more than one at a time",
      fault: { path: /blobs/, kind: { kind: "status", status: 403 }, times: 1 },
      ranges: PIECES,
    },
  ])("comes whole when the registry $name", async ({ name, fault, ranges }) => {
    const registry = await serve();
    const { client, target } = connect(registry.host);
    // The first request is answered well where the others are refused.
    const isLater = name.startsWith("refuses");
    if (!isLater) registry.fail(fault);
    const stream = await client.fetchBlob(target, blob, signal);
    if (isLater) registry.fail(fault);
    expect((await buffer(stream)).equals(bytes)).toBe(true);
    expect(registry.requests.length).toBeLessThanOrEqual(ranges + 4);
  });

  test("with an altered byte in one piece fails", async () => {
    const registry = await serve();
    const { client, target } = connect(registry.host);
    const stream = await client.fetchBlob(target, blob, signal);
    registry.fail({ path: /blobs/, kind: { kind: "alter" } });
    await expect(buffer(stream)).rejects.toThrow(/do not have its digest/);
  });

  test("that ends before its size fails", async () => {
    const registry = await serve();
    const { client, target } = connect(registry.host);
    const longer = { ...blob, size: blob.size + 10 };
    await expect(client.fetchBlob(target, longer, signal).then((stream) => buffer(stream))).rejects.toThrow(BuildError);
  });

  test("that nobody reads on is given up with all its connections", async () => {
    const registry = await serve();
    const { client, target } = connect(registry.host);
    registry.fail({ path: /blobs/, kind: { kind: "drip", bytes: 100_000, everyMs: 20 }, times: 1000 });
    const stop = new AbortController();
    const stream = await client.openBlob(target, blob, 0, stop.signal);
    const first = (stream as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
    await first.next();
    stop.abort(new Error("enough"));
    await expect(buffer(stream)).rejects.toThrow(/enough|aborted|closed/i);
    // The right to use several connections is free again.
    registry.clearLog();
    const other: Readable = await client.openBlob(target, blob, 0, signal);
    expect(rangesOf(registry)).toEqual([`bytes=0-${PIECE_BYTES - 1}`]);
    other.destroy();
  });

  test("beside another one comes over one connection", async () => {
    const registry = await serve();
    const { client, target } = connect(registry.host);
    const streams = await Promise.all([1, 2].map(() => client.openBlob(target, blob, 0, signal)));
    expect(rangesOf(registry).toSorted()).toEqual([`bytes=0-${PIECE_BYTES - 1}`, "undefined"]);
    for (const stream of streams) stream.destroy();
  });

  test.skipIf(dockerRegistryMissing !== undefined)("comes whole from distribution's registry", async () => {
    const registry = await startDockerRegistry();
    open.push(registry);
    const { client, target } = connect(registry.host);
    const { Readable: Stream } = await import("node:stream");
    await client.uploadBlob(target, { descriptor: blob, open: () => Stream.from([bytes]) }, signal);
    expect((await buffer(await client.fetchBlob(target, blob, signal))).equals(bytes)).toBe(true);
  });
});
