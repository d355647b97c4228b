import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Readable } from "node:stream";
import { Readable as Stream } from "node:stream";
import { buffer } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { startCuttingProxy } from "../../test/support/cutting-proxy.ts";
import { dockerRegistryMissing, startDockerRegistry } from "../../test/support/docker-registry.ts";
import { startTestRegistry, type TestRegistry, type TestRegistryOptions } from "../../test/support/registry.ts";
import { digestOf } from "../core/digest.ts";
import { BuildError } from "../core/errors.ts";
import { MEDIA_TYPES } from "../core/oci.ts";
import { parseReference } from "../core/reference.ts";
import { createRegistryClient } from "./client.ts";
import type { BlobSource, Credentials, RegistryClient, RegistryOptions, Repository } from "./registry.ts";

const signal = new AbortController().signal;
const blobBytes = randomBytes(300_000);
const blob = { digest: digestOf(blobBytes), size: blobBytes.length };
const pauses: number[] = [];

const open: AsyncDisposable[] = [];
beforeEach(() => {
  pauses.length = 0;
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((resource) => resource[Symbol.asyncDispose]()));
});

async function serve(options: TestRegistryOptions = {}): Promise<TestRegistry> {
  const registry = await startTestRegistry(options);
  open.push(registry);
  return registry;
}

function connect(options: Partial<RegistryOptions> = {}): RegistryClient {
  const client = createRegistryClient({
    credentials: { get: async () => undefined },
    userAgent: "kiln-test",
    clock: { nowMs: () => 0 },
    timer: {
      async wait(ms) {
        pauses.push(ms);
      },
    },
    ...options,
  });
  open.push(client);
  return client;
}

function knowing(credentials: Credentials): Partial<RegistryOptions> {
  return { credentials: { get: async () => credentials } };
}

function source(bytes: Buffer): BlobSource {
  return {
    descriptor: { digest: digestOf(bytes), size: bytes.length },
    open: () => Stream.from([bytes.subarray(0, 1000), bytes.subarray(1000)]),
  };
}

const config = Buffer.from("{}");
const manifestBytes = JSON.stringify({
  schemaVersion: 2,
  mediaType: MEDIA_TYPES.ociManifest,
  config: { mediaType: MEDIA_TYPES.ociConfig, digest: digestOf(config), size: 2 },
  layers: [{ mediaType: MEDIA_TYPES.ociLayerGzip, ...blob }],
});

function fill(registry: TestRegistry): void {
  registry.addBlob(blobBytes);
  registry.addBlob(config);
  registry.addManifest("team/app", "1", MEDIA_TYPES.ociManifest, manifestBytes);
}

const refOf = (registry: { readonly host: string }, rest = "team/app:1"): ReturnType<typeof parseReference> =>
  parseReference(`${registry.host}/${rest}`);

async function failure(work: Promise<unknown>): Promise<BuildError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof BuildError) return error;
    throw error;
  }
  throw new Error("It did not fail");
}

async function pulled(stream: Promise<Readable>): Promise<Buffer> {
  return buffer(await stream);
}

describe("pulling", () => {
  test("resolves a tag to the exact bytes of its manifest", async () => {
    const registry = await serve();
    fill(registry);
    const client = connect();
    const found = await client.resolve(refOf(registry), signal);
    expect(found.bytes.toString()).toBe(manifestBytes);
    expect(found.descriptor).toEqual({
      mediaType: MEDIA_TYPES.ociManifest,
      digest: digestOf(manifestBytes),
      size: manifestBytes.length,
    });
    expect(found.document).toMatchObject({ kind: "manifest", manifest: { layers: [blob] } });
    expect(await client.describe(refOf(registry), "many", signal)).toEqual(found.descriptor);
    expect(registry.requests.at(-1)?.method).toBe("HEAD");
  });

  test("verifies a manifest asked for by digest", async () => {
    const registry = await serve();
    fill(registry);
    const ref = refOf(registry, `team/app@${digestOf(manifestBytes)}`);
    expect((await connect().resolve(ref, signal)).descriptor.digest).toBe(digestOf(manifestBytes));
    const bad = digestOf("another manifest");
    registry.addManifest("team/app", "other", MEDIA_TYPES.ociManifest, manifestBytes);
    (registry.manifests as Map<string, unknown>).set(`team/app@${bad}`, registry.manifests.get("team/app:other"));
    expect((await failure(connect().resolve(refOf(registry, `team/app@${bad}`), signal))).code).toBe("digest/mismatch");
  });

  test("streams a blob and checks it", async () => {
    const registry = await serve();
    fill(registry);
    const client = connect();
    expect((await pulled(client.fetchBlob(refOf(registry), blob, signal))).equals(blobBytes)).toBe(true);
    const rest = await pulled(client.openBlob(refOf(registry), blob, 299_990, signal));
    expect(rest.equals(blobBytes.subarray(299_990))).toBe(true);
    expect(await pulled(client.openBlob(refOf(registry), blob, blob.size, signal))).toHaveLength(0);
  });

  test.each([
    { name: "the connection drops in the middle", fault: { kind: "drop", afterBytes: 100_000 }, times: 2 },
    { name: "the connection drops before the answer", fault: { kind: "drop", afterBytes: 0 }, times: 2 },
    { name: "the body is cut short", fault: { kind: "truncate", toBytes: 1000 }, times: 3 },
    { name: "the server answers 503", fault: { kind: "status", status: 503 }, times: 3 },
    {
      name: "the server limits requests",
      fault: { kind: "status", status: 429, headers: { "retry-after": "7" } },
      times: 1,
    },
  ] as const)("gets a whole blob although $name", async ({ fault, times }) => {
    const registry = await serve();
    fill(registry);
    registry.fail({ path: /\/blobs\//, method: "GET", kind: fault, times });
    const bytes = await pulled(connect().fetchBlob(refOf(registry), blob, signal));
    expect(bytes.equals(blobBytes)).toBe(true);
  });

  test.each([
    { name: "a date", headers: { "retry-after": "Tue, 01 Dec 2026 10:00:09 GMT" }, waits: 9000 },
    { name: "a date that is over", headers: { "retry-after": "Tue, 01 Dec 2026 09:00:00 GMT" }, waits: 250 },
    { name: "a date of next year", headers: { "retry-after": "Fri, 01 Jan 2027 00:00:00 GMT" }, waits: 60_000 },
    { name: "nothing that means something", headers: { "retry-after": "soon" }, waits: 250 },
    { name: "no time at all", headers: { "retry-after": "0" }, waits: 250 },
  ])("waits until a moment by the server's clock: $name", async ({ headers, waits }) => {
    const registry = await serve();
    fill(registry);
    const date = "Tue, 01 Dec 2026 10:00:00 GMT";
    registry.fail({ path: /manifests/, kind: { kind: "status", status: 429, headers: { date, ...headers } } });
    await connect().resolve(refOf(registry), signal);
    expect(pauses).toEqual([waits]);
  });

  test("waits as long as the server asks", async () => {
    const registry = await serve();
    fill(registry);
    const kind = { kind: "status", status: 429, headers: { "retry-after": "7" } } as const;
    registry.fail({ path: /\/manifests\//, kind, times: 1 });
    registry.fail({ path: /\/manifests\//, kind: { kind: "status", status: 502 }, times: 2 });
    await connect().resolve(refOf(registry), signal);
    expect(pauses).toEqual([7000, 500, 1000]);
  });

  test("goes on by range after a drop, and copes with servers that know none", async () => {
    const registry = await serve();
    fill(registry);
    registry.fail({ path: /\/blobs\//, kind: { kind: "drop", afterBytes: 100_000 } });
    registry.fail({ path: /\/blobs\//, kind: { kind: "no-range" } });
    expect((await pulled(connect().fetchBlob(refOf(registry), blob, signal))).equals(blobBytes)).toBe(true);
    expect(registry.requests.map((request) => request.headers["range"])).toEqual([
      undefined,
      expect.stringMatching(/^bytes=\d+-$/),
    ]);
  });

  test("refuses a blob that was altered on the way", async () => {
    const registry = await serve();
    fill(registry);
    registry.fail({ path: /\/blobs\//, kind: { kind: "alter" } });
    expect((await failure(pulled(connect().fetchBlob(refOf(registry), blob, signal)))).code).toBe("digest/mismatch");
  });

  test("refuses a blob that is longer than its descriptor says", async () => {
    const registry = await serve();
    fill(registry);
    const shorter = { digest: blob.digest, size: 1000 };
    expect((await failure(pulled(connect().fetchBlob(refOf(registry), shorter, signal)))).code).toBe("digest/mismatch");
  });

  test("gives up a server that keeps failing, after pauses that grow", async () => {
    const registry = await serve();
    fill(registry);
    registry.fail({ path: /./, kind: { kind: "status", status: 500 }, times: 99 });
    const error = await failure(connect().resolve(refOf(registry), signal));
    expect(error.code).toBe("registry/unreachable");
    expect(pauses).toEqual([250, 500, 1000, 2000]);
  });

  test.each([
    { name: "cut short", path: "team/app:1", kind: { kind: "truncate", toBytes: 40 } },
    { name: "altered", path: `team/app@${digestOf(manifestBytes)}`, kind: { kind: "alter" } },
  ] as const)("refuses a manifest that was $name on the way", async ({ path, kind }) => {
    const registry = await serve();
    fill(registry);
    registry.fail({ path: /manifests/, kind });
    expect((await failure(connect().resolve(refOf(registry, path), signal))).code).toBe("registry/malformed");
  });

  test("refuses a manifest of more than 4 MiB", async () => {
    const registry = await serve();
    registry.addManifest("team/app", "1", MEDIA_TYPES.ociManifest, Buffer.alloc((4 << 20) + 1, 32));
    const error = await failure(connect().resolve(refOf(registry), signal));
    expect(error).toMatchObject({ code: "registry/malformed", message: expect.stringContaining("larger than") });
  });

  test("stops when it is told to", async () => {
    const registry = await serve();
    fill(registry);
    const abort = new AbortController();
    const stream = await connect().fetchBlob(refOf(registry), blob, abort.signal);
    abort.abort(new Error("enough"));
    await expect(buffer(stream)).rejects.toThrow("enough");
  });

  test("a media type is told without its parameters", async () => {
    const registry = await serve();
    registry.addManifest("team/app", "1", `${MEDIA_TYPES.ociManifest}; charset=utf-8`, manifestBytes);
    const client = connect();
    expect((await client.describe(refOf(registry), "many", signal)).mediaType).toBe(MEDIA_TYPES.ociManifest);
    expect((await client.resolve(refOf(registry), signal)).descriptor.mediaType).toBe(MEDIA_TYPES.ociManifest);
  });

  test("asks mirrors first and the registry when they fail", async () => {
    const origin = await serve();
    const mirror = await serve();
    fill(origin);
    mirror.addManifest("team/app", "1", MEDIA_TYPES.ociManifest, manifestBytes);
    const client = connect({ hosts: new Map([[origin.host, { mirrors: [mirror.host] }]]) });
    await client.resolve(refOf(origin), signal);
    expect(origin.requests).toEqual([]);
    await pulled(client.fetchBlob(refOf(origin), blob, signal));
    expect(origin.requests).toHaveLength(1);
  });
});

describe("a mirror", () => {
  interface Setting {
    readonly origin: TestRegistry;
    readonly mirror: TestRegistry;
    readonly client: RegistryClient;
    readonly notices: string[];
  }
  async function mirrored(mirrorOptions: TestRegistryOptions = {}): Promise<Setting> {
    const [origin, mirror] = [await serve(), await serve(mirrorOptions)];
    fill(origin);
    fill(mirror);
    const notices: string[] = [];
    const hosts = new Map([[origin.host, { mirrors: [mirror.host] }]]);
    return { origin, mirror, client: connect({ hosts, notice: (line) => notices.push(line) }), notices };
  }
  /** Resolves, describes and reads a blob, as a build does. */
  async function pullAll({ client, origin }: Setting): Promise<void> {
    const ref = refOf(origin);
    expect((await client.describe(ref, "many", signal)).digest).toBe(digestOf(manifestBytes));
    const found = await client.resolve(ref, signal);
    expect(found.bytes.toString()).toBe(manifestBytes);
    expect((await client.fetchManifest(ref, found.descriptor, signal)).bytes.toString()).toBe(manifestBytes);
    expect((await pulled(client.fetchBlob(ref, blob, signal))).equals(blobBytes)).toBe(true);
    expect((await pulled(client.openBlob(ref, blob, 1000, signal))).equals(blobBytes.subarray(1000))).toBe(true);
  }
  const html = { headers: { "content-type": "text/html; charset=utf-8" }, body: "<html>log in</html>" };
  const garbage = { headers: { "content-type": "application/octet-stream" }, body: "garbage" };

  test.each([
    { name: "a web page", fault: { kind: { kind: "status", status: 200, ...html } }, why: /a web page of/ },
    { name: "garbage", fault: { kind: { kind: "status", status: 200, ...garbage } }, why: /./ },
    { name: "trouble of its own", fault: { kind: { kind: "status", status: 500 } }, why: /answered 500/ },
    { name: "too many requests", fault: { kind: { kind: "status", status: 429 } }, why: /answered 429/ },
    { name: "a closed connection", fault: { kind: { kind: "drop", afterBytes: 0 } }, why: /closed the connection/ },
    { name: "a manifest that breaks off", fault: { method: "GET", kind: { kind: "drop", afterBytes: 10 } }, why: /./ },
    {
      name: "a blob that breaks off",
      fault: { path: /blobs/, kind: { kind: "drop", afterBytes: 10_000 } },
      why: /broke off/,
    },
    {
      name: "a short blob",
      fault: { path: /blobs/, kind: { kind: "truncate", toBytes: 1000 } },
      why: /1000 bytes came, and it has/,
    },
    {
      name: "another manifest than was asked for",
      fault: { path: /sha256/, kind: { kind: "status", status: 200, body: manifestBytes.replace("2", "2 ") } },
      why: /sent a manifest with digest/,
    },
    {
      name: "a redirect to a port without a server",
      fault: { kind: { kind: "redirect", status: 302, origin: "http://127.0.0.1:1" } },
      why: /nothing listens at "127.0.0.1:1", where .* sends such requests/,
    },
  ] as const)("that answers with $name is passed over, with one line", async ({ fault, why }) => {
    const setting = await mirrored();
    setting.mirror.fail({ path: /./, times: 1000, ...fault });
    await pullAll(setting);
    expect(setting.notices).toEqual([expect.stringMatching(why)]);
    expect(setting.notices[0]).toContain(
      `The mirror "${setting.mirror.host}" of ${setting.origin.host} is passed over`,
    );
    expect(pauses.length).toBeLessThanOrEqual(1);
  });

  test("that is not there is asked once", async () => {
    const setting = await mirrored();
    await setting.mirror[Symbol.asyncDispose]();
    await pullAll(setting);
    expect(setting.notices).toEqual([expect.stringMatching(/nothing listens at the mirror/)]);
    expect(pauses).toEqual([]);
  });

  describe("that did not answer", () => {
    const remembered = new Map<string, string>();
    const mirrorMemory: NonNullable<RegistryOptions["mirrorMemory"]> = {
      recall: (name) => remembered.get(name),
      note: (name, why) => void remembered.set(name, why),
      forget: (name) => void remembered.delete(name),
    };
    beforeEach(() => remembered.clear());
    const withMemory = ({ origin, mirror }: Setting): Setting => {
      const notices: string[] = [];
      const hosts = new Map([[origin.host, { mirrors: [mirror.host] }]]);
      return {
        origin,
        mirror,
        notices,
        client: connect({ hosts, mirrorMemory, notice: (line) => notices.push(line) }),
      };
    };

    test("is not asked by the next client either", async () => {
      const first = withMemory(await mirrored());
      first.mirror.fail({ path: /./, times: 1000, kind: { kind: "status", status: 503 } });
      await pullAll(first);
      expect(first.notices).toHaveLength(1);
      first.mirror.clearLog();
      const next = withMemory(first);
      await pullAll(next);
      expect(next.notices).toEqual([]);
      expect(next.mirror.requests).toEqual([]);
    });

    test.each([
      { name: "a web page", kind: { kind: "status", status: 200, ...html } },
      { name: "that it has no such image", kind: { kind: "status", status: 404 } },
    ] as const)("is another one than one that says $name", async ({ kind }) => {
      const setting = withMemory(await mirrored());
      setting.mirror.fail({ path: /./, times: 1000, kind });
      await pullAll(setting);
      expect(remembered.size).toBe(0);
    });

    test("has a second chance where the registry itself cannot be reached", async () => {
      const setting = await mirrored();
      const [first, next] = [withMemory(setting), withMemory(setting)];
      setting.mirror.fail({ path: /./, times: 1, kind: { kind: "status", status: 503 } });
      const ref = refOf(setting.origin);
      await setting.origin[Symbol.asyncDispose]();
      expect((await first.client.resolve(ref, signal)).bytes.toString()).toBe(manifestBytes);
      expect(remembered.size).toBe(0);
      remembered.set(setting.mirror.host, "it did not answer");
      expect((await next.client.resolve(ref, signal)).bytes.toString()).toBe(manifestBytes);
      expect(remembered.size).toBe(0);
      expect(next.notices).toEqual([]);
    });

    test("is named when it does not use that chance", async () => {
      const setting = withMemory(await mirrored());
      const [ref, { host }] = [refOf(setting.origin), setting.mirror];
      remembered.set(host, "it did not answer");
      await setting.mirror[Symbol.asyncDispose]();
      await setting.origin[Symbol.asyncDispose]();
      const { hint } = await failure(setting.client.resolve(ref, signal));
      expect(hint).toContain(`its mirror "${host}" failed before`);
    });
  });

  test("that does not have the image is no trouble", async () => {
    const setting = await mirrored();
    setting.mirror.fail({ path: /./, times: 1000, kind: { kind: "status", status: 404 } });
    await pullAll(setting);
    expect(setting.notices).toEqual([]);
  });

  test("that sent other bytes of the right number is not asked again", async () => {
    const { client, origin, mirror, notices } = await mirrored();
    mirror.fail({ path: /blobs/, times: 1000, kind: { kind: "alter" } });
    expect((await failure(pulled(client.fetchBlob(refOf(origin), blob, signal)))).code).toBe("digest/mismatch");
    expect(client.distrust(blob.digest)).toBe(true);
    expect((await pulled(client.fetchBlob(refOf(origin), blob, signal))).equals(blobBytes)).toBe(true);
    expect(client.distrust(blob.digest)).toBe(false);
    expect(notices).toEqual([expect.stringContaining("it sent other bytes")]);
  });

  test("that failed is named when the registry fails too", async () => {
    const { client, origin, mirror } = await mirrored();
    const [ref, host] = [refOf(origin), mirror.host];
    await mirror[Symbol.asyncDispose]();
    await origin[Symbol.asyncDispose]();
    const error = await failure(client.resolve(ref, signal));
    expect(error.message).toContain(`nothing listens at "${ref.registry}"`);
    expect(error.hint).toContain(`its mirror "${host}" failed before: nothing listens at`);
  });

  test("is skipped when its token server fails", async () => {
    const setting = await mirrored({ auth: { kind: "token", username: "ann", password: "pw" } });
    setting.mirror.fail({ path: /^.token/, times: 1000, kind: { kind: "status", status: 503 } });
    await pullAll(setting);
    expect(setting.notices).toEqual([
      expect.stringContaining(`the token server "${setting.mirror.host}" answered 503`),
    ]);
  });
});

test("a manifest is asked for again after a broken connection", async () => {
  const registry = await serve();
  fill(registry);
  registry.fail({ path: /manifests/, kind: { kind: "drop", afterBytes: 20 }, times: 2 });
  expect((await connect().resolve(refOf(registry), signal)).bytes.toString()).toBe(manifestBytes);
  registry.fail({ path: /manifests/, kind: { kind: "drop", afterBytes: 20 }, times: 9 });
  expect((await failure(connect().resolve(refOf(registry), signal))).code).toBe("registry/unreachable");
});

describe("errors", () => {
  test.each([
    { name: "a tag that is not there", path: "team/app:2", code: "registry/not-found" },
    { name: "a repository that is not there", path: "team/nothing:1", code: "registry/not-found" },
  ])("name $name", async ({ path, code }) => {
    const registry = await serve();
    fill(registry);
    const error = await failure(connect().resolve(refOf(registry, path), signal));
    expect(error.code).toBe(code);
    expect(error.message).toContain(`Cannot pull "${registry.host}/${path}"`);
    expect(error.hint).toBeDefined();
  });

  test("tell a registry that is not there", async () => {
    const registry = await startTestRegistry();
    const { host } = registry;
    await registry[Symbol.asyncDispose]();
    const error = await failure(connect().resolve(refOf({ host }), signal));
    expect(error).toMatchObject({
      code: "registry/unreachable",
      message: `Cannot pull "${host}/team/app:1": nothing listens at "${host}"`,
    });
  });

  test.each([
    {
      name: "token server that is not there",
      path: "",
      says: 'get a token to pull ".*": nothing listens at the token server',
    },
    {
      name: "storage that is not there",
      path: "blobs",
      says: 'nothing listens at "127.0.0.1:1", where ".*" sends such requests',
    },
  ])("name a $name", async ({ path, says }) => {
    const registry = await serve();
    fill(registry);
    const realm = `Bearer realm="http://127.0.0.1:1/token",service="x"`;
    registry.fail(
      path === ""
        ? { path: /./, kind: { kind: "status", status: 401, headers: { "www-authenticate": realm } }, times: 9 }
        : { path: /blobs/, kind: { kind: "redirect", status: 307, origin: "http://127.0.0.1:1" }, times: 9 },
    );
    const client = connect();
    const work =
      path === "" ? client.resolve(refOf(registry), signal) : client.fetchBlob(refOf(registry), blob, signal);
    const error = await failure(work);
    expect(error.code).toBe("registry/unreachable");
    expect(error.message).toMatch(new RegExp(says));
  });

  test.each([
    { name: "that is not there", port: "1", says: 'nothing listens at the proxy "127.0.0.1:1"' },
    { name: "that refuses", port: "", says: /the proxy "127.0.0.1:\d+" answered 407 when it was to connect/ },
  ])("name a proxy $name, and not its password", async ({ port, says }) => {
    const server = createServer().on("connect", (_, socket) => {
      socket.end("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
    });
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    open.push({ [Symbol.asyncDispose]: async () => void server.close() });
    const proxy = { https: `http://user:secret@127.0.0.1:${port || (server.address() as AddressInfo).port}` };
    const error = await failure(connect({ proxy }).resolve(parseReference("registry.test/app:1"), signal));
    expect(error).toMatchObject({ code: "registry/unreachable" });
    expect(error.message).toMatch(says);
    expect(`${error.message} ${error.hint ?? ""}`).not.toContain("secret");
  });

  test("tell a web page from a manifest", async () => {
    const registry = await serve();
    const kind = { kind: "status", status: 200, headers: { "content-type": "text/html" }, body: "<html>" } as const;
    registry.fail({ path: /./, kind });
    const error = await failure(connect().resolve(refOf(registry), signal));
    expect(error.message).toContain(`a web page of "${registry.host}" came instead`);
  });

  test("carry the registry's own words without control characters", async () => {
    const registry = await serve();
    const body = JSON.stringify({ errors: [{ code: "DENIED", message: "no\u001b[31m way\n" }] });
    registry.fail({ path: /./, kind: { kind: "status", status: 403, body } });
    const error = await failure(connect().resolve(refOf(registry), signal));
    expect(error.code).toBe("registry/denied");
    expect(error.message).toContain("answered 403: no [31m way");
  });
});

describe("authorization", () => {
  const user = { username: "ann", password: "s3cret:word" };
  const basic: Credentials = { kind: "basic", ...user };

  test("by name and password goes to registries that ask for it", async () => {
    const registry = await serve({ auth: { kind: "basic", ...user } });
    fill(registry);
    await connect(knowing(basic)).resolve(refOf(registry), signal);
    expect(registry.requests.map(({ headers }) => headers["authorization"] !== undefined)).toEqual([false, true]);
    const error = await failure(connect().resolve(refOf(registry), signal));
    expect(error).toMatchObject({ code: "registry/unauthorized" });
    expect(error.hint).toContain("kiln login");
  });

  test("works for a registry name in capitals", async () => {
    const registry = await serve({ auth: { kind: "token", ...user } });
    fill(registry);
    const ref = parseReference(`${registry.host.replace("127.0.0.1", "LOCALHOST")}/team/app:1`);
    const found = await connect(knowing(basic)).resolve(ref, signal);
    expect(found.bytes.toString()).toBe(manifestBytes);
  });

  test("for a mirror is looked up by its host, whatever prefix it has", async () => {
    const asked: string[] = [];
    const origin = await serve();
    const mirror = await serve({ auth: { kind: "basic", ...user } });
    fill(origin);
    mirror.addManifest("mirrored/v2/team/app", "1", MEDIA_TYPES.ociManifest, manifestBytes);
    const get = async ({ registry, repository }: Repository): Promise<Credentials> => {
      asked.push(`${registry} ${repository}`);
      return basic;
    };
    const hosts = new Map([[origin.host, { mirrors: [`${mirror.host}/prefix/`] }]]);
    await connect({ credentials: { get }, hosts }).resolve(refOf(origin), signal);
    expect(asked).toEqual([`${mirror.host} prefix/team/app`]);
    expect(mirror.requests.at(-1)?.headers["authorization"]).toMatch(/^Basic /);
  });

  test.each([
    { name: "by anonymous token", credentials: undefined },
    { name: "by name and password", credentials: basic },
    { name: "by identity token", credentials: { kind: "identity-token", token: "refresh-me" } as const },
  ])("fetches a token $name once for all requests", async ({ credentials }) => {
    const registry = await serve({ auth: { kind: "token", ...user, refreshToken: "refresh-me", anonymousPull: true } });
    fill(registry);
    const client = connect(credentials === undefined ? {} : knowing(credentials));
    await client.resolve(refOf(registry), signal);
    await pulled(client.fetchBlob(refOf(registry), blob, signal));
    await client.describe(refOf(registry), "many", signal);
    expect(registry.requests.filter(({ path }) => path.startsWith("/token"))).toHaveLength(1);
  });

  test("asks for a token of its own to push", async () => {
    const registry = await serve({ auth: { kind: "token", ...user, anonymousPull: true } });
    const client = connect(knowing(basic));
    await client.pushBlob(refOf(registry), source(blobBytes), signal);
    expect(registry.blobs.has(blob.digest)).toBe(true);
    const error = await failure(connect().pushBlob(refOf(registry), source(Buffer.from("more bytes")), signal));
    expect(error.code).toBe("registry/unauthorized");
  });

  test.each([
    { name: "another's name", answer: (token: string) => ({ token: "", access_token: token }) },
    { name: "its own name", answer: (token: string) => ({ token, access_token: "" }) },
    {
      name: "another's name, and a token that is none",
      answer: (token: string) => ({ token: null, access_token: token }),
    },
  ])("takes a token under $name", async ({ answer }) => {
    const registry = await serve({ auth: { kind: "token", ...user }, tokenAnswer: answer });
    fill(registry);
    const found = await connect(knowing(basic)).resolve(refOf(registry), signal);
    expect(found.descriptor.digest).toBe(digestOf(manifestBytes));
  });

  test("goes without credentials when they cannot be found, and reports the reason when refused", async () => {
    const credentials = {
      get: async () => {
        throw new BuildError("registry/unauthorized", "the keyring is locked");
      },
    };
    for (const auth of [
      { kind: "token", ...user, anonymousPull: true },
      { kind: "basic", ...user },
    ] as const) {
      const registry = await serve({ auth });
      fill(registry);
      const client = connect({ credentials });
      if (auth.kind === "token") await client.resolve(refOf(registry), signal);
      const error = await failure(client.pushBlob(refOf(registry), source(Buffer.from("new")), signal));
      expect(error.message).toBe("the keyring is locked");
    }
  });

  test("of one repository is not another's", async () => {
    const asked: string[] = [];
    const registry = await serve({ auth: { kind: "token", ...user } });
    fill(registry);
    registry.addManifest("other/app", "1", MEDIA_TYPES.ociManifest, manifestBytes);
    const get = async ({ repository }: Repository): Promise<Credentials> => {
      asked.push(repository);
      return repository === "team/app" ? basic : { kind: "basic", username: "bob", password: "no" };
    };
    const client = connect({ credentials: { get } });
    await client.resolve(refOf(registry), signal);
    expect((await failure(client.resolve(refOf(registry, "other/app:1"), signal))).code).toBe("registry/unauthorized");
    expect(asked).toEqual(["team/app", "other/app"]);
  });

  test("asks the token server that a repository names, not another repository's", async () => {
    const [one, two] = [
      await serve({ auth: { kind: "token", ...user } }),
      await serve({ auth: { kind: "token", ...user } }),
    ];
    fill(one);
    one.addManifest("other/app", "1", MEDIA_TYPES.ociManifest, manifestBytes);
    const client = connect(knowing(basic));
    await client.resolve(refOf(one), signal);
    const headers = { "www-authenticate": `Bearer realm="http://${two.host}/token",service="test"` };
    one.fail({ path: /other/, kind: { kind: "status", status: 401, headers }, times: 2 });
    one.fail({ path: /^.token/, kind: { kind: "status", status: 403 }, times: 9 });
    // Server one refuses two's token. The test is only about which server was asked.
    await failure(client.resolve(refOf(one, "other/app:1"), signal));
    expect(two.requests.map(({ path }) => path)).toEqual([
      expect.stringContaining("scope=repository%3Aother%2Fapp%3Apull"),
    ]);
  });

  test("of two scopes that are refused for a mount does no harm to the upload after it", async () => {
    const registry = await serve({ auth: { kind: "token", ...user } });
    const client = connect(knowing(basic));
    const scope = "repository:team/app:pull,push repository:team/base:pull";
    const challenge = `Bearer realm="http://${registry.host}/token",service="test",scope="${scope}",error="insufficient_scope"`;
    const headers = { "www-authenticate": challenge };
    registry.fail({ path: /mount=/, kind: { kind: "status", status: 401, headers }, times: 9 });
    expect(await client.mountBlob(refOf(registry), blob.digest, "team/base", signal)).toBe(false);
    expect(await client.pushBlob(refOf(registry), source(blobBytes), signal)).toBe("uploaded");
  });

  test("renews a token that the registry no longer takes", async () => {
    const registry = await serve({ auth: { kind: "token", ...user, anonymousPull: true } });
    fill(registry);
    const client = connect();
    await client.resolve(refOf(registry), signal);
    const headers = { "www-authenticate": `Bearer realm="http://${registry.host}/token",service="test"` };
    registry.fail({ path: /manifests/, kind: { kind: "status", status: 401, headers } });
    await client.resolve(refOf(registry), signal);
    expect(registry.requests.filter(({ path }) => path.startsWith("/token"))).toHaveLength(2);
  });

  test("wrong or missing is an error without the password", async () => {
    const registry = await serve({ auth: { kind: "token", ...user } });
    const wrong = connect(knowing({ kind: "basic", username: "ann", password: "hunter2" }));
    const error = await failure(wrong.resolve(refOf(registry), signal));
    expect(error.code).toBe("registry/unauthorized");
    expect(`${error.message} ${error.hint ?? ""}`).not.toContain("hunter2");
    expect(error.message).toContain("incorrect username or password");
  });

  test("does not follow a redirect to another host", async () => {
    const storage = await serve();
    fill(storage);
    const registry = await serve({ auth: { kind: "basic", ...user }, redirectBlobsTo: `http://${storage.host}` });
    fill(registry);
    const bytes = await pulled(connect(knowing(basic)).fetchBlob(refOf(registry), blob, signal));
    expect(bytes.equals(blobBytes)).toBe(true);
    expect(storage.requests.map(({ headers }) => headers["authorization"])).toEqual([undefined]);
  });
});

describe("pushing", () => {
  test("asks once for what a repository has, and again when a manifest says that it is gone", async () => {
    const registry = await serve();
    registry.fail({ kind: { kind: "status", status: 404 }, method: "PUT", path: /manifests/ });
    const client = connect();
    const asked = (): number => registry.requests.filter(({ method }) => method === "HEAD").length;
    for (const expected of [false, false]) {
      expect(await client.blobExists(refOf(registry), digestOf(blobBytes), signal)).toBe(expected);
    }
    expect(asked()).toBe(2);
    await client.uploadBlob(refOf(registry), source(blobBytes), signal);
    expect(await client.blobExists(refOf(registry), digestOf(blobBytes), signal)).toBe(true);
    expect(asked()).toBe(2);
    const manifest = { reference: "1", mediaType: MEDIA_TYPES.ociManifest, bytes: Buffer.from(manifestBytes) };
    await failure(client.pushManifest(refOf(registry), manifest, signal));
    for (const round of [1, 2]) {
      expect([round, await client.blobExists(refOf(registry), digestOf(blobBytes), signal)]).toEqual([round, true]);
    }
    expect(asked()).toBe(3);
  });

  test("uploads missing blobs once, and the manifest after them", async () => {
    const registry = await serve();
    const client = connect();
    expect(await client.pushBlob(refOf(registry), source(blobBytes), signal)).toBe("uploaded");
    expect(await client.pushBlob(refOf(registry), source(blobBytes), signal)).toBe("exists");
    const pushed = await client.pushManifest(
      refOf(registry),
      { reference: "1", mediaType: MEDIA_TYPES.ociManifest, bytes: Buffer.from(manifestBytes) },
      signal,
    );
    expect(pushed.digest).toBe(digestOf(manifestBytes));
    expect((await client.resolve(refOf(registry), signal)).descriptor).toEqual(pushed);
  });

  test.each([
    { name: "drops the connection", kind: { kind: "drop", afterBytes: 0 } },
    { name: "answers 500", kind: { kind: "status", status: 500 } },
  ] as const)("begins again when the registry $name", async ({ kind }) => {
    const registry = await serve();
    registry.fail({ method: "PUT", path: /uploads/, kind, times: 2 });
    expect(await connect().pushBlob(refOf(registry), source(blobBytes), signal)).toBe("uploaded");
    expect(registry.blobs.get(blob.digest)?.equals(blobBytes)).toBe(true);
  });

  test("waits as long as a busy registry asks", async () => {
    const registry = await serve();
    const kind = { kind: "status", status: 429, headers: { "retry-after": "7" } } as const;
    registry.fail({ method: "PUT", path: /uploads/, kind });
    expect(await connect().pushBlob(refOf(registry), source(blobBytes), signal)).toBe("uploaded");
    expect(pauses).toEqual([7000]);
  });

  test("renews a token that ends while a blob is sent", async () => {
    const registry = await serve({ auth: { kind: "token", username: "ann", password: "s3cret" } });
    const client = connect(knowing({ kind: "basic", username: "ann", password: "s3cret" }));
    await client.pushBlob(refOf(registry), source(Buffer.from("config")), signal);
    const headers = { "www-authenticate": `Bearer realm="http://${registry.host}/token",service="test"` };
    registry.fail({ method: "PUT", path: /uploads/, kind: { kind: "status", status: 401, headers } });
    registry.clearLog();
    expect(await client.pushBlob(refOf(registry), source(blobBytes), signal)).toBe("uploaded");
    expect(registry.blobs.get(blob.digest)?.equals(blobBytes)).toBe(true);
    const order = registry.requests.map(({ method, path }) => (path.startsWith("/token") ? "token" : method));
    expect(order).toEqual(["HEAD", "POST", "PUT", "token", "PUT"]);
  });

  test("sends no credentials to storage elsewhere that uploads go to", async () => {
    const storage = await serve();
    const registry = await serve({ auth: { kind: "basic", username: "ann", password: "s3cret" } });
    const client = connect(knowing({ kind: "basic", username: "ann", password: "s3cret" }));
    await client.blobExists(refOf(registry), blob.digest, signal);
    const headers = { location: `http://${storage.host}/v2/bucket/blobs/uploads/signed?signature=1` };
    registry.fail({ method: "POST", path: /uploads/, kind: { kind: "status", status: 202, headers }, times: 9 });
    await failure(client.pushBlob(refOf(registry), source(blobBytes), signal));
    expect(storage.requests.length).toBeGreaterThan(0);
    for (const request of storage.requests) {
      expect(request.path).toContain("signature=1");
      expect(request.headers["authorization"]).toBeUndefined();
    }
  });

  test.each([
    { method: "POST", status: 307 },
    { method: "POST", status: 308 },
    { method: "PUT", status: 307 },
    { method: "PATCH", status: 308 },
  ])("follows a $status of $method, and takes no credentials along", async ({ method, status }) => {
    const storage = await serve();
    const refuseWholeUploads = method === "PATCH" ? { refuseWholeUploads: 413 } : {};
    const auth = { kind: "basic", username: "ann", password: "s3cret" } as const;
    const registry = await serve({ auth, ...refuseWholeUploads });
    const client = connect(knowing({ kind: "basic", username: "ann", password: "s3cret" }));
    await client.blobExists(refOf(registry), blob.digest, signal);
    const origin = `http://${storage.host}`;
    registry.fail({ method, path: /./, kind: { kind: "redirect", status, origin }, times: 1000 });
    // The storage has its own list of uploads.
    const work = client.pushBlob(refOf(registry), source(blobBytes), signal);
    if (method === "POST") {
      expect(await work).toBe("uploaded");
      expect(storage.blobs.get(blob.digest)?.equals(blobBytes)).toBe(true);
      await client.uploadBlob(refOf(registry), source(config), signal);
    } else await failure(work);
    expect(storage.requests.map((request) => request.method)).toContain(method);
    for (const { headers } of storage.requests) expect(headers["authorization"]).toBeUndefined();
  });

  test("follows a redirect of a manifest's PUT on the same host", async () => {
    const registry = await serve();
    const origin = `http://${registry.host}`;
    registry.fail({ method: "PUT", path: /manifests/, kind: { kind: "redirect", status: 308, origin } });
    const manifest = { reference: "1", mediaType: MEDIA_TYPES.ociManifest, bytes: Buffer.from(manifestBytes) };
    await connect().pushManifest(refOf(registry), manifest, signal);
    expect(registry.manifests.has("team/app:1")).toBe(true);
  });

  test.each([401, 403, 405, 429, 500])("uploads what the registry will not be asked for (%i)", async (status) => {
    const registry = await serve();
    registry.fail({ method: "HEAD", path: /blobs/, kind: { kind: "status", status }, times: 9 });
    expect(await connect().pushBlob(refOf(registry), source(blobBytes), signal)).toBe("uploaded");
  });

  test("takes a page to log in at for no blob", async () => {
    const registry = await serve();
    const headers = { "content-type": "text/html" };
    registry.fail({ method: "HEAD", path: /blobs/, kind: { kind: "status", status: 200, headers } });
    expect(await connect().pushBlob(refOf(registry), source(blobBytes), signal)).toBe("uploaded");
  });

  test("leaves the query of an upload's place as it is", async () => {
    const registry = await serve();
    const query = "?sig=a%2Fb+c%20d:e~f/(g)&X=1&empty=&flag";
    const headers = { location: `http://${registry.host}/v2/team/app/blobs/uploads/x${query}` };
    registry.fail({ method: "POST", path: /uploads/, kind: { kind: "status", status: 202, headers } });
    await connect().uploadBlob(refOf(registry), source(blobBytes), signal);
    const put = registry.requests.find(({ method }) => method === "PUT");
    expect(put?.path).toContain(`/uploads/x${query}&digest=sha256%3A`);
  });

  test.each([404, 416])("begins again when the registry has lost an upload between chunks (%i)", async (status) => {
    const registry = await serve({ refuseWholeUploads: 413 });
    registry.fail({ method: "PATCH", path: /uploads/, kind: { kind: "status", status } });
    expect(await connect().pushBlob(refOf(registry), source(blobBytes), signal)).toBe("uploaded");
  });

  test("tells of media types where a registry does not like the manifest", async () => {
    const registry = await serve();
    registry.fail({ method: "PUT", path: /manifests/, kind: { kind: "status", status: 415 } });
    const manifest = { reference: "1", mediaType: MEDIA_TYPES.ociManifest, bytes: Buffer.from(manifestBytes) };
    const error = await failure(connect().pushManifest(refOf(registry), manifest, signal));
    expect(error.hint).toContain("oci-mediatypes=false");
  });

  test.each([400, 401, 403, 404, 405, 416, 500, 501, 503])(
    "uploads what the registry will not take over (%i), and asks no second time",
    async (status) => {
      const registry = await serve();
      const client = connect();
      registry.fail({ method: "POST", path: /mount=/, kind: { kind: "status", status }, times: 1000 });
      expect(await client.mountBlob(refOf(registry), blob.digest, "team/base", signal)).toBe(false);
      expect(await client.mountBlob(refOf(registry), blob.digest, "team/base", signal)).toBe(false);
      expect(registry.requests.filter(({ path }) => path.includes("mount="))).toHaveLength(1);
      expect(pauses).toEqual([]);
      expect(await client.pushBlob(refOf(registry), source(blobBytes), signal)).toBe("uploaded");
    },
  );

  test.each([401, 403, 400, 500])("uploads a blob when the token server refuses to mount it (%i)", async (status) => {
    const user = { username: "ann", password: "s3cret" };
    const registry = await serve({ auth: { kind: "token", ...user }, refuseScopes: { of: "team/base", status } });
    const client = connect(knowing({ kind: "basic", ...user }));
    expect(await client.mountBlob(refOf(registry), blob.digest, "team/base", signal)).toBe(false);
    expect(pauses).toEqual([]);
    expect(await client.pushBlob(refOf(registry), source(blobBytes), signal)).toBe("uploaded");
  });

  test("of a manifest that the registry stores as another one fails", async () => {
    const registry = await serve();
    const headers = { "docker-content-digest": digestOf("another") };
    registry.fail({ method: "PUT", path: /manifests/, kind: { kind: "status", status: 201, headers } });
    const manifest = { reference: "1", mediaType: MEDIA_TYPES.ociManifest, bytes: Buffer.from(manifestBytes) };
    expect((await failure(connect().pushManifest(refOf(registry), manifest, signal))).code).toBe("digest/mismatch");
  });

  test.each([413, 405])("sends chunks where a whole body is refused with %i", async (status) => {
    const registry = await serve({ refuseWholeUploads: status });
    const big = randomBytes((16 << 20) + 5000);
    const sent: number[] = [];
    await connect().pushBlob(refOf(registry), { ...source(big), onProgress: (count) => sent.push(count) }, signal);
    expect(registry.blobs.get(digestOf(big))?.equals(big)).toBe(true);
    expect(sent.at(-1)).toBe(big.length);
    expect(registry.requests.filter(({ method }) => method === "PATCH").length).toBeGreaterThan(0);
  });

  test("sends a blob while it is made, and names it at the end", async () => {
    const registry = await serve({ auth: { kind: "token", username: "ann", password: "s3cret" } });
    const client = connect(knowing({ kind: "basic", username: "ann", password: "s3cret" }));
    const big = randomBytes(3_000_000);
    const pieces = async function* (): AsyncGenerator<Buffer> {
      for (let at = 0; at < big.length; at += 700_000) yield big.subarray(at, at + 700_000);
    };
    const streamed = await client.streamBlob(refOf(registry), pieces, signal);
    expect(registry.blobs.size).toBe(0);
    await streamed.finish(digestOf(big), signal);
    expect(registry.blobs.get(digestOf(big))?.equals(big)).toBe(true);
    const other = await client.streamBlob(refOf(registry), pieces, signal);
    expect((await failure(other.finish(digestOf("other"), signal))).message).toContain("provided digest did not match");
  });

  test.each([
    { name: "drops the connection", kind: { kind: "drop", afterBytes: 0 }, code: "registry/unreachable" },
    { name: "limits what a body may have", kind: { kind: "status", status: 413 }, code: "registry/malformed" },
    { name: "is busy", kind: { kind: "status", status: 503 }, code: "registry/unreachable" },
  ] as const)(
    "of a blob that is still made ends when the registry $name and does not say more",
    async ({ kind, code }) => {
      const registry = await serve({ tellsUploads: false });
      registry.fail({ method: "PATCH", path: /uploads/, kind });
      let opened = 0;
      const pieces = async function* (): AsyncGenerator<Buffer> {
        opened += 1;
        for (let n = 0; n < 50; n += 1) yield randomBytes(100_000);
      };
      expect((await failure(connect().streamBlob(refOf(registry), pieces, signal))).code).toBe(code);
      expect(opened).toBeLessThanOrEqual(1);
    },
  );

  test("of a blob ends with the failure of its source", async () => {
    const registry = await serve();
    const pieces = async function* (): AsyncGenerator<Buffer> {
      yield randomBytes(100_000);
      throw new Error("no more bytes");
    };
    expect((await failure(connect().streamBlob(refOf(registry), pieces, signal))).message).toContain("no more bytes");
    expect(registry.blobs.size).toBe(0);
  });

  test("mounts a blob from another repository where the registry allows it", async () => {
    const registry = await serve();
    const client = connect();
    await client.pushBlob(refOf(registry, "team/base:1"), source(blobBytes), signal);
    const target = refOf(registry);
    expect(await client.blobExists(target, blob.digest, signal)).toBe(false);
    expect(await client.mountBlob(target, digestOf("unknown"), "team/base", signal)).toBe(false);
    expect(await client.mountBlob(target, blob.digest, "team/base", signal)).toBe(true);
    expect(await client.blobExists(target, blob.digest, signal)).toBe(true);
  });

  test("of bytes with another digest fails", async () => {
    const registry = await serve();
    const wrong = { ...source(blobBytes), descriptor: { digest: digestOf("other"), size: blobBytes.length } };
    const error = await failure(connect().pushBlob(refOf(registry), wrong, signal));
    expect(error.message).toContain("provided digest did not match");
  });
});

describe.skipIf(dockerRegistryMissing !== undefined)(
  `with distribution's registry${dockerRegistryMissing ?? ""}`,
  () => {
    test("what is pushed comes back, and mounts", async () => {
      const registry = await startDockerRegistry();
      open.push(registry);
      const client = connect();
      const ref = refOf(registry);
      expect(await client.pushBlob(ref, source(blobBytes), signal)).toBe("uploaded");
      expect(await client.pushBlob(ref, source(config), signal)).toBe("uploaded");
      expect(await client.pushBlob(ref, source(config), signal)).toBe("exists");
      const manifest = { reference: "1", mediaType: MEDIA_TYPES.ociManifest, bytes: Buffer.from(manifestBytes) };
      const pushed = await client.pushManifest(ref, manifest, signal);
      expect(await client.describe(ref, "many", signal)).toEqual(pushed);
      expect((await client.resolve(ref, signal)).bytes.toString()).toBe(manifestBytes);
      expect((await pulled(client.fetchBlob(ref, blob, signal))).equals(blobBytes)).toBe(true);
      expect((await pulled(client.openBlob(ref, blob, 1000, signal))).equals(blobBytes.subarray(1000))).toBe(true);
      expect(await client.mountBlob(refOf(registry, "other/app:1"), blob.digest, "team/app", signal)).toBe(true);
      const pieces = async function* (): AsyncGenerator<Buffer> {
        yield Buffer.from("made ");
        yield Buffer.from("while sent");
      };
      await (await client.streamBlob(ref, pieces, signal)).finish(digestOf("made while sent"), signal);
      expect(await client.blobExists(ref, digestOf("made while sent"), signal)).toBe(true);
      expect((await failure(client.resolve(refOf(registry, "team/app:2"), signal))).code).toBe("registry/not-found");
      // A manifest with missing blobs is refused with the registry's reason.
      const error = await failure(client.pushManifest(refOf(registry, "empty/app:1"), manifest, signal));
      expect(error.message).toMatch(/answered 4\d\d: blob unknown to registry/);
    });

    test("a connection that is cut on the way there or back costs no blob", async () => {
      const registry = await startDockerRegistry();
      const [host = "", port = ""] = registry.host.split(":");
      const proxy = await startCuttingProxy({ host, port: Number(port) });
      open.push(registry, proxy);
      const client = connect();
      const ref = refOf(proxy);
      const big = randomBytes(6 << 20);
      const wanted = { digest: digestOf(big), size: big.length };
      proxy.cut({ sentBytes: 2_000_000 }, { sentBytes: 4_000_000 });
      expect(await client.pushBlob(ref, source(big), signal)).toBe("uploaded");
      expect(proxy.cuts).toBe(2);
      proxy.cut({ receivedBytes: 2_000_000 }, { receivedBytes: 1_000_000 });
      expect((await pulled(client.fetchBlob(ref, wanted, signal))).equals(big)).toBe(true);
      expect(proxy.cuts).toBe(4);
      proxy.cut({ sentBytes: 1_000_000 });
      const pieces = async function* (): AsyncGenerator<Buffer> {
        for (let at = 0; at < 3_000_000; at += 100_000) yield big.subarray(at, at + 100_000);
      };
      expect((await failure(client.streamBlob(ref, pieces, signal))).code).toBe("registry/unreachable");
      expect(proxy.cuts).toBe(5);
    });
  },
);
