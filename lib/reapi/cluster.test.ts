import { randomBytes } from "node:crypto";
import { buffer } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { type Blob, documentBlob, toBlobDigest } from "./blobs.ts";
import { Cluster } from "./cluster.ts";
import { MissingInputsError } from "./execution.ts";
import { CODES } from "./failure.ts";
import { parsePlace } from "./place.ts";
import { Action, Command, Directory } from "./protocol.ts";
import { StandIn, type StandInOptions } from "./testing/stand-in.ts";

const signal = new AbortController().signal;

interface Bench extends AsyncDisposable {
  readonly server: StandIn;
  readonly cluster: Cluster;
  readonly waits: readonly string[];
}

async function bench(
  options: StandInOptions = {},
  headers: readonly (readonly [string, string])[] = [],
): Promise<Bench> {
  const server = await StandIn.start(options);
  const waits: string[] = [];
  const onWait = (message: string): void => void waits.push(message);
  const cluster = new Cluster({ place: parsePlace(server.url, "the test"), access: { headers, tls: {} }, onWait });
  return {
    server,
    cluster,
    waits,
    async [Symbol.asyncDispose]() {
      cluster[Symbol.dispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

/** Makes an action of a shell script and sends it. */
async function action({ cluster }: Pick<Bench, "cluster">, script: string): Promise<Blob> {
  const command = documentBlob(Command.encode({ arguments: ["/bin/sh", "-c", script], outputPaths: ["out"] }));
  const root = documentBlob(Directory.encode({}));
  const made = documentBlob(
    Action.encode({ commandDigest: toBlobDigest(command), inputRootDigest: toBlobDigest(root), salt: randomBytes(4) }),
  );
  await cluster.blobs.send([command, root, made], signal);
  return made;
}

const run = (cluster: Cluster, made: Blob, inner = signal): ReturnType<Cluster["execution"]["run"]> =>
  cluster.execution.run(made, { priority: 0, skipsCache: false }, { name: "the step" }, inner);

test("tells what the server can do, and asks once", async () => {
  await using at = await bench({ hasZstd: true });
  const abilities = await at.cluster.abilities(signal);
  expect(abilities).toMatchObject({ takesResults: true, runsActions: true, storage: { hasZstd: true } });
  await at.cluster.abilities(signal);
  expect(at.server.counts.get("getCapabilities")).toBe(1);
});

test.each([{ hasZstd: false }, { hasZstd: true }])("sends and reads small and large blobs: %j", async (options) => {
  await using at = await bench(options);
  const large = documentBlob(Buffer.concat([randomBytes(3_000_000), Buffer.alloc(3_000_000)]));
  const small = Array.from({ length: 3000 }, (_, index) =>
    documentBlob(Buffer.from(`blob ${index} ${"x".repeat(1000)}`)),
  );
  const { blobs } = at.cluster;
  expect(await blobs.missing([large, ...small], signal)).toHaveLength(3001);
  await blobs.send([large, ...small], signal);
  expect(await blobs.missing([large, ...small], signal)).toHaveLength(0);
  expect((await buffer(blobs.open(large, { offsetBytes: 0, check: "digest" }, signal))).length).toBe(large.size);
  expect((await buffer(blobs.open(large, { offsetBytes: 5_999_990, check: "none" }, signal))).length).toBe(10);
  const read = await blobs.readSmall(small.slice(0, 5), signal);
  expect(read.map((data) => Buffer.from(data).toString().slice(0, 6))).toEqual(
    Array.from({ length: 5 }, (_, i) => `blob ${i}`),
  );
  if (options.hasZstd) expect(blobs.traffic.receivedBytes).toBeLessThan(4_000_000);
});

test.each([{ hasZstd: false }, { hasZstd: true }])("goes on where streams broke: %j", async (options) => {
  await using at = await bench(options);
  const blob = documentBlob(randomBytes(4_000_000));
  at.server.faults.answer = (call, number) => (call === "write" && number <= 2 ? CODES.unavailable : undefined);
  at.server.faults.cutsReadAfter = (number) => (number <= 3 ? 1_000_000 : undefined);
  await at.cluster.blobs.send([blob], signal);
  const read = await buffer(at.cluster.blobs.open(blob, { offsetBytes: 0, check: "digest" }, signal));
  expect(documentBlob(read).digest).toBe(blob.digest);
  expect(at.server.counts.get("read")).toBe(4);
});

test.each([
  { name: "in a stream", size: 2_000_000 },
  { name: "in a batch", size: 100 },
])("refuses and names wrong bytes $name", async ({ size }) => {
  await using at = await bench();
  const blob = documentBlob(randomBytes(size));
  await at.cluster.blobs.send([blob], signal);
  at.server.faults.changes = (_hash, data) => Buffer.concat([data.subarray(1), Buffer.of(1)]);
  const error = await at.cluster.blobs.readSmall([blob], signal).catch((failure: unknown) => failure);
  expect(error).toMatchObject({ code: "digest/mismatch", message: expect.stringContaining(blob.digest) as unknown });
});

test("refuses a blob without an end before it fills a disk", async () => {
  await using at = await bench();
  const blob = documentBlob(randomBytes(1_000_000));
  await at.cluster.blobs.send([blob], signal);
  at.server.faults.changes = (_hash, data) => Buffer.concat([data, data, data]);
  const read = buffer(at.cluster.blobs.open(blob, { offsetBytes: 0, check: "digest" }, signal));
  await expect(read).rejects.toMatchObject({ code: "digest/mismatch" });
});

test("names a blob that the storage has lost", async () => {
  await using at = await bench();
  const blob = documentBlob(Buffer.from("lost"));
  await expect(at.cluster.blobs.readSmall([blob], signal)).rejects.toMatchObject({
    name: "BuildError",
    blob: blob.digest,
  });
});

test("runs an action, and finds its result afterwards", async () => {
  await using at = await bench();
  const made = await action(at, "echo hi; echo out > out");
  const { result, isCached } = await run(at.cluster, made);
  expect([isCached, result.exitCode, result.outputFiles.length]).toEqual([false, 0, 1]);
  expect(await at.cluster.cachedResult(made, { files: [], output: false }, signal)).toMatchObject({ exitCode: 0 });
  expect((await run(at.cluster, made)).isCached).toBe(true);
  expect(at.server.executed).toHaveLength(1);
});

test("takes up an action whose stream broke, without a second run", async () => {
  await using at = await bench();
  at.server.faults.breaksStream = () => true;
  const { result } = await run(at.cluster, await action(at, "sleep 0.3; echo once >> out"));
  expect([result.exitCode, at.server.executed.length]).toEqual([0, 1]);
  expect(at.server.counts.get("waitExecution")).toBeGreaterThan(0);
});

test("waits for a server that is started again, and runs the forgotten action anew", async () => {
  await using at = await bench();
  const made = await action(at, "echo out > out");
  at.server.stop();
  const running = run(at.cluster, made);
  await sleep(300);
  await at.server.restart();
  expect((await running).result.exitCode).toBe(0);
});

test.each([CODES.unavailable, CODES.aborted, CODES.resourceExhausted])(
  "runs an action again when its worker is lost with code %i",
  async (code) => {
    await using at = await bench();
    at.server.faults.losesWorker = (number) => (number <= 2 ? code : undefined);
    const { result } = await run(at.cluster, await action(at, "echo out > out"));
    expect([result.exitCode, at.server.counts.get("execute")]).toEqual([0, 3]);
  },
);

test("gives up an action that takes every worker with it", async () => {
  await using at = await bench();
  at.server.faults.losesWorker = () => CODES.unavailable;
  const error = await run(at.cluster, await action(at, "true")).catch((failure: unknown) => failure);
  expect(error).toMatchObject({ code: "remote/failed", message: expect.stringContaining("5 workers") as unknown });
});

test("names the inputs that the server misses", async () => {
  await using at = await bench();
  const made = await action(at, "true");
  at.server.blobs.clear();
  at.server.keep(await whole(made));
  const error = await run(at.cluster, made).catch((failure: unknown) => failure);
  expect(error).toBeInstanceOf(MissingInputsError);
  expect((error as MissingInputsError).blobs.length).toBeGreaterThan(0);
});

test("cancels an action that nobody waits for any more", async () => {
  await using at = await bench();
  const made = await action(at, "sleep 60");
  const stop = new AbortController();
  const running = run(at.cluster, made, stop.signal);
  await expect.poll(() => at.server.executed.length).toBe(1);
  stop.abort(new Error("enough"));
  await expect(running).rejects.toThrow("enough");
  expect(at.server.cancelled).toHaveLength(1);
});

test.each([
  { name: "is away", code: "remote/unreachable", headers: [] },
  { name: "wants a token", code: "remote/denied", headers: [["authorization", "Bearer wrong"]] },
] as const)(
  "says that the server $name",
  async ({ code, headers, name }) => {
    await using at = await bench({ header: ["authorization", "Bearer right"] }, headers);
    if (name === "is away") at.server.stop();
    const error = await at.cluster.abilities(signal).catch((failure: unknown) => failure);
    expect(error).toMatchObject({ code });
    expect(JSON.stringify([String(error), error])).not.toContain("Bearer");
  },
  20_000,
);

test("sends the headers that it is given", async () => {
  await using at = await bench({ header: ["authorization", "Bearer right"] }, [["authorization", "Bearer right"]]);
  await expect(at.cluster.abilities(signal)).resolves.toMatchObject({ runsActions: true });
});

test.each([
  { url: "grpc://host:1/a/b", address: "host:1", instance: "a/b", shown: "grpc://host:1/a/b" },
  { url: "grpc://host:1/50%", address: "host:1", instance: "50%", shown: "grpc://host:1/50%" },
  { url: "grpcs://host", address: "host:443", instance: "", shown: "grpcs://host:443" },
  { url: "grpc://[::1]:8980/", address: "[::1]:8980", instance: "", shown: "grpc://[::1]:8980" },
])("reads $url", ({ url, address, instance, shown }) => {
  expect(parsePlace(url, "--remote")).toMatchObject({ address, instance, url: shown });
});

test.each(["http://host", "host:8980", "grpc://", "grpc://me:secret@host", "grpc://host/a?b"])("refuses %s", (url) => {
  let shown = "";
  try {
    parsePlace(url, "--remote");
  } catch (error) {
    shown = String(error);
  }
  expect(shown).toContain("Cannot use the value of --remote");
  expect(shown).not.toContain("secret");
});

async function whole(blob: Blob): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of await blob.open(signal)) chunks.push(chunk);
  return Buffer.concat(chunks);
}
