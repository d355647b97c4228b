import { spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { request } from "node:http";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer, text } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";
import Docker from "dockerode";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { importBusybox, noBusybox, writeFiles } from "../../test/support/busybox.ts";
import { cannotRun, testEnvironment } from "../../test/support/environment.ts";
import { startTestRegistry } from "../../test/support/registry.ts";
import { Semaphore } from "../../lib/core/limits.ts";
import { type ServedRequest, serveApi } from "./server.ts";

const why = cannotRun ?? noBusybox;
if (why !== undefined) console.warn(`the tests of kiln serve are skipped: ${why}`);

describe.skipIf(why !== undefined)("kiln serve", () => {
  const folder = mkdtempSync(join(tmpdir(), "kiln-serve-"));
  const root = join(folder, "store");
  const context = join(folder, "context");
  const socket = join(folder, "kiln.sock");
  const docker = new Docker({ socketPath: socket });
  const stop = new AbortController();
  const served: ServedRequest[] = [];
  let ended: Promise<void>;

  /** Begins a server; `listening` is settled when it listens, or cannot. */
  const begin = (
    path: string,
    signal: AbortSignal,
  ): { readonly listening: Promise<void>; readonly ended: Promise<void> } => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const running = serveApi(
      {
        environment: testEnvironment(root),
        builds: new Semaphore(2),
        machine: { name: "test", kernel: "6", memoryBytes: 1 },
        socket: path,
        onListening: resolve,
        onServed: (one) => served.push(one),
      },
      signal,
    );
    // The tests look at one of the two.
    running.catch(() => undefined);
    return { listening: Promise.race([promise, running]), ended: running };
  };

  beforeAll(async () => {
    mkdirSync(root);
    await importBusybox(testEnvironment(root));
    await writeFiles(context, {
      Dockerfile: "FROM busybox\nARG N=0\nRUN echo step $N\nCOPY a.txt /\nLABEL a=b\n",
      "a.txt": "a\n",
    });
    const server = begin(socket, stop.signal);
    ({ ended } = server);
    await server.listening;
  });
  afterAll(async () => {
    stop.abort();
    await ended;
    rmSync(folder, { recursive: true, force: true });
  });

  const messagesOf = async (stream: Promise<NodeJS.ReadableStream>): Promise<readonly Record<string, unknown>[]> => {
    const answer = await stream;
    return new Promise((resolve, reject) => {
      docker.modem.followProgress(answer, (error, messages) => {
        if (error === null) resolve(messages);
        else reject(error);
      });
    });
  };
  const streamOf = (messages: readonly Record<string, unknown>[]): string =>
    messages.map(({ stream }) => (typeof stream === "string" ? stream : "")).join("");
  const buildContext = (options: object): ReturnType<typeof messagesOf> =>
    messagesOf(docker.buildImage({ context, src: readdirSync(context) }, options));

  /** Sends one request by hand. */
  const send = async (
    method: string,
    path: string,
    options: { readonly headers?: Record<string, string>; readonly body?: string | Uint8Array } = {},
  ): Promise<{ readonly status: number | undefined; readonly body: string; readonly headers: object }> => {
    const sent = request({ socketPath: socket, method, path, headers: options.headers ?? {} });
    sent.end(options.body);
    const [answer] = (await once(sent, "response")) as [
      Parameters<typeof text>[0] & { statusCode?: number; headers: object },
    ];
    return { status: answer.statusCode, headers: answer.headers, body: await text(answer) };
  };

  test("the socket is its owner's alone", () => {
    expect((statSync(socket).mode & 0o777).toString(8)).toBe("600");
    expect(readdirSync(folder).filter((name) => name.startsWith(".kiln-"))).toEqual([]);
  });

  test("tells what it is, and agrees on a version", async () => {
    expect((await docker.ping()).toString()).toBe("OK");
    expect(await docker.version()).toMatchObject({ ApiVersion: "1.49" });
    expect(await docker.info()).toMatchObject({ OSType: "linux", Containers: 0 });
    expect(await send("HEAD", "/_ping")).toMatchObject({
      status: 200,
      headers: { "api-version": "1.49", "builder-version": "1" },
    });
    expect(await send("GET", "/v1.24/version")).toMatchObject({ status: 200 });
    expect(await send("GET", "/v1.999/version")).toMatchObject({
      status: 400,
      body: expect.stringContaining("too new"),
    });
    expect(await send("GET", "/v1.12/version")).toMatchObject({
      status: 400,
      body: expect.stringContaining("too old"),
    });
  });

  test("dockerode builds, and the answer is the classic builder's", async () => {
    const messages = await buildContext({ t: ["a", "b:1"], buildargs: { N: "7" }, labels: { l: "m" } });
    const said = streamOf(messages);
    expect(said).toMatch(/^Step 1\/3 : FROM \S*busybox/);
    expect(said).toMatch(/Step 2\/3 : RUN echo step 7\nstep 7\n/);
    expect(said).toMatch(/Successfully built [0-9a-f]{12}\nSuccessfully tagged a:latest\nSuccessfully tagged b:1\n$/);
    const aux = messages.find((message) => "aux" in message)?.["aux"];
    const facts = await docker.getImage("a").inspect();
    expect(aux).toEqual({ ID: facts.Id });
    expect(facts).toMatchObject({ RepoTags: ["a:latest", "b:1"], Config: { Labels: { a: "b", l: "m" } } });
    const quiet = await buildContext({ q: true, buildargs: { N: "7" }, labels: { l: "m" } });
    expect(streamOf(quiet)).toBe(`${facts.Id}\n`);
  });

  test("a step that fails ends the stream with docker's error, its output before it", async () => {
    writeFileSync(join(context, "F1"), "FROM busybox\nRUN echo why; exit 42\n");
    const answer = await docker.buildImage({ context, src: ["F1"] }, { dockerfile: "F1" });
    const lines = (await text(answer)).trim().split("\r\n");
    expect(lines.join("")).toContain('"stream":"why\\n"');
    expect(JSON.parse(lines.at(-1) ?? "")).toMatchObject({
      errorDetail: { code: 42, message: expect.stringContaining("exit code: 42") },
      error: expect.stringContaining("exit code: 42"),
    });
  });

  test.each([
    ["FROM busybox\nRUNN x\n", 400, /unknown instruction: RUNN/],
    ["FROM nowhere.invalid/x\n", 500, /nowhere\.invalid/],
    ["", 400, /Dockerfile/],
  ])("a build of %j that cannot begin is an answer with a status", async (dockerfile, status, says) => {
    writeFileSync(join(context, "F2"), dockerfile);
    const built = docker.buildImage({ context, src: ["F2"] }, { dockerfile: "F2" });
    await expect(built).rejects.toMatchObject({ statusCode: status, message: expect.stringMatching(says) });
  });

  test("files become root's, and the ignore file may leave out the Dockerfile and itself, which clients send in any case", async () => {
    const source = join(folder, "classic");
    await writeFiles(source, {
      "Docker[file]": "FROM busybox\nCOPY . /c/\nRUN find /c -type f -exec stat -c '%n %u:%g' {} +\n",
      ".dockerignore": "Docker*\n.dockerignore\n",
      kept: "",
    });
    for (const name of readdirSync(source)) chownSync(join(source, name), 1000, 1000);
    const { stdout: body } = spawnSync("tar", ["-c", "-C", source, "."]);
    const { body: said } = await send("POST", "/build?dockerfile=Docker%5Bfile%5D", { body });
    expect(said).toContain("/c/kept 0:0");
    expect(said).not.toMatch(/\/c\/(Docker|\.dockerignore)/);
  });

  test("a build ends when its client goes away", async () => {
    writeFileSync(join(context, "F3"), "FROM busybox\nRUN echo begun; sleep 600\n");
    const answer = await docker.buildImage({ context, src: ["F3"] }, { dockerfile: "F3" });
    for await (const chunk of answer) if (String(chunk).includes("begun")) break;
    for (let attempt = 0; attempt < 200; attempt += 1) {
      if (served.some(({ error }) => String(error).includes("The client went away"))) break;
      await pause(25);
    }
    expect(served.at(-1)).toMatchObject({ path: "/build", error: { code: "build/cancelled" } });
  });

  test("images are listed, named, shown, written, read and removed", async () => {
    await buildContext({ t: "team/x" });
    const image = docker.getImage("team/x");
    await image.tag({ repo: "localhost:1/x", tag: "2" });
    const names = async (options?: object): Promise<readonly string[]> =>
      (await docker.listImages(options)).flatMap(({ RepoTags }) => RepoTags).toSorted();
    expect(await names({ filters: { reference: ["team/*", "localhost:1/*"] } })).toEqual([
      "localhost:1/x:2",
      "team/x:latest",
    ]);
    expect(await names({ filters: { label: { "a=b": true }, reference: { "team/x": true } } })).toEqual([
      "team/x:latest",
    ]);
    expect((await image.history())[0]).toMatchObject({ CreatedBy: "LABEL a=b" });
    const archive = await buffer(await image.get());
    expect(await docker.getImage("localhost:1/x:2").remove()).toEqual([{ Untagged: "localhost:1/x:2" }]);
    expect(await image.remove({ force: true })).toContainEqual({ Untagged: "team/x:latest" });
    await expect(image.inspect()).rejects.toMatchObject({
      statusCode: 404,
      message: expect.stringMatching(/No such image/),
    });
    const { body } = await send("POST", "/images/load?quiet=1", { body: archive });
    expect(body).toContain('"stream":"Loaded image: team/x:latest\\n"');
    expect(await names({ filters: { reference: ["team/*"] } })).toEqual(["team/x:latest"]);
  });

  test("accounts of the request are used, for this request", async () => {
    const auth = { kind: "basic", username: "me", password: "right" } as const;
    await using registry = await startTestRegistry({ auth });
    const name = `${registry.host}/x`;
    await buildContext({ t: `${name}:1` });
    const account = { username: "me", password: "right", serveraddress: registry.host };
    expect(await docker.checkAuth(account)).toMatchObject({ Status: "Login Succeeded" });
    await expect(docker.checkAuth({ ...account, password: "wrong" })).rejects.toMatchObject({ statusCode: 401 });
    const image = docker.getImage(name);
    expect((await messagesOf(image.push({ tag: "1" }))).at(-1)).toMatchObject({
      error: expect.stringContaining("401"),
    });
    const pushed = await messagesOf(image.push({ tag: "1", authconfig: account }));
    expect(pushed.at(-1)).toMatchObject({ aux: { Tag: "1", Digest: expect.stringMatching(/^sha256:/) } });
    await docker.getImage(`${name}:1`).remove({ force: true });
    await expect(docker.pull(`${name}:1`)).rejects.toThrow(/401|unauthorized|account/i);
    const pulled = await messagesOf(docker.pull(`${name}:1`, { authconfig: account }));
    expect(pulled.at(-1)).toMatchObject({ status: `Status: Downloaded newer image for ${name}:1` });
    await expect(docker.pull(`${name}:none`, { authconfig: account })).rejects.toMatchObject({ statusCode: 404 });
    writeFileSync(join(context, "F4"), `FROM ${name}:1\n`);
    const registryconfig = { [registry.host]: account };
    const built = await messagesOf(
      docker.buildImage({ context, src: ["F4"] }, { dockerfile: "F4", pull: true, registryconfig }),
    );
    expect(streamOf(built)).toContain("Successfully built");
  });

  test.each([
    ["GET", "/containers/json", 501],
    ["POST", "/v1.45/containers/create", 501],
    ["POST", "/session", 501],
    ["POST", "/grpc", 501],
    ["GET", "/images/search?term=x", 501],
    ["GET", "/networks", 501],
    ["POST", "/build?version=2", 501],
    ["POST", "/build?remote=/etc", 400],
    ["POST", "/build?dockerfile=../../../../etc/passwd", 400],
    ["POST", "/build?buildargs=[", 400],
    ["POST", "/build?t=UPPER", 400],
    ["GET", "/images/get", 400],
    ["GET", "/images/%ff/json", 400],
    ["GET", "/images/json?filters=[", 400],
    ["GET", "/images/json?filters=7", 400],
    ["GET", "/images/json?filters={%22nope%22:[%22x%22]}", 400],
    ["POST", "/images/create", 400],
    ["POST", "/images/create?fromSrc=http://x/y", 501],
    ["POST", "/images/x/tag", 400],
    ["POST", "/images/nope/tag?repo=y", 404],
    ["DELETE", "/images/nope", 404],
    ["GET", "/nope", 404],
    ["PATCH", "/build", 404],
    ["GET", "/images//json", 404],
    ["POST", "/auth", 400],
  ])("%s %s is answered with %i and a message", async (method, path, status) => {
    const answer = await send(method, path, { headers: { "Content-Type": "application/x-tar" } });
    expect(answer).toMatchObject({ status, body: expect.stringMatching(/^\{"message":".+"\}\n$/) });
  });

  test("hostile clients get an answer or nothing, and others are served", async () => {
    const raw = async (bytes: string): Promise<string> => {
      const client = connect(socket);
      client.on("error", () => undefined);
      client.end(bytes);
      return text(client);
    };
    expect(await raw("\u0000\u0001garbage\r\n\r\n")).toMatch(/^HTTP\/1\.1 400/);
    expect(await raw(`GET /_ping HTTP/1.1\r\nHost: x\r\nX-Long: ${"x".repeat(400_000)}\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 (400|431)/,
    );
    expect(await send("POST", "/auth", { body: "x".repeat(2 << 20) })).toMatchObject({ status: 400 });
    expect(await send("POST", "/auth", { body: "[".repeat(100_000) })).toMatchObject({ status: 400 });
    const junk = { "X-Registry-Auth": "!!!!", "X-Registry-Config": Buffer.from("[1]").toString("base64") };
    expect(await send("POST", "/build", { headers: junk })).toMatchObject({ status: 400 });
    expect(await send("POST", "/build", { body: Buffer.alloc(1 << 20, 7) })).toMatchObject({ status: 400 });
    expect(await send("POST", "/images/load", { body: "no archive" })).toMatchObject({ status: 400 });
    // Half an archive, and then nobody.
    const half = connect(socket);
    half.write("POST /build HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\nhalf");
    await pause(50);
    half.destroy();
    const idle = Array.from({ length: 100 }, () => connect(socket));
    await Promise.all(idle.map((client) => once(client, "connect")));
    expect((await docker.ping()).toString()).toBe("OK");
    for (const client of idle) client.destroy();
    expect(readdirSync(join(root, "scratch"))).toEqual([]);
  });

  test("a second server on the socket is refused; one that was killed leaves its place", async () => {
    const never = new AbortController().signal;
    const refused = (path: string, signal: AbortSignal): Promise<void> => begin(path, signal).listening;
    await expect(refused(socket, never)).rejects.toMatchObject({
      code: "serve/socket",
      message: expect.stringContaining("another server"),
    });
    writeFileSync(join(folder, "file"), "");
    await expect(refused(join(folder, "file"), never)).rejects.toMatchObject({ code: "serve/socket" });
    await expect(refused(join(folder, "x".repeat(120)), never)).rejects.toMatchObject({ code: "serve/socket" });
    const stale = join(folder, "stale.sock");
    const killed = createServer().listen(join(folder, "killed.sock"));
    await once(killed, "listening");
    renameSync(join(folder, "killed.sock"), stale);
    killed.close();
    await once(killed, "close");
    const end = new AbortController();
    const after = begin(stale, end.signal);
    await after.listening;
    end.abort();
    await after.ended;
    expect(existsSync(stale)).toBe(false);
  });
});
