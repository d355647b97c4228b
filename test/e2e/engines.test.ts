import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { createServer, request, type Server, type ServerResponse } from "node:http";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { has, kiln, kilnBeside, missing, mustKiln, temporary } from "./harness.ts";

const why = missing();
if (why !== undefined) console.warn(`the tests of engines are skipped: ${why}`);

/** docker's socket, where an engine answers. */
const socket = [process.env["KILN_TEST_DOCKER_SOCKET"], "/var/run/docker.sock"].find(
  (path) => path !== undefined && existsSync(path),
);

describe.skipIf(why !== undefined)("loading into engines", { timeout: 120_000 }, () => {
  const folder = temporary();
  const store = join(folder.path, "store");
  const context = join(folder.path, "context");

  beforeAll(() => {
    mkdirSync(context);
    writeFileSync(join(context, "f"), "content");
    writeFileSync(join(context, "Dockerfile"), "FROM scratch\nCOPY f /f\nENV A=b\n");
  });
  afterAll(() => folder[Symbol.dispose]());

  /** An engine's API that pulls as docker does, or fails as it can fail. */
  async function fakeDocker(
    behaviour: "pulls" | "cannot reach" | "fails" | "vanishes",
  ): Promise<
    { readonly host: string; readonly asked: readonly string[]; readonly loaded: () => number } & AsyncDisposable
  > {
    const socketPath = join(folder.path, `${behaviour.replace(" ", "-")}.sock`);
    const asked: string[] = [];
    let loaded = 0;
    const pull = (url: URL, response: ServerResponse): void => {
      const [authority = "", ...repository] = (url.searchParams.get("fromImage") ?? "").split("/");
      const [host, port] = authority.split(":");
      const path = `/v2/${repository.join("/")}/manifests/${url.searchParams.get("tag") ?? ""}`;
      request({ host, port, path }, (answer) => {
        answer.resume().on("end", () => response.end(JSON.stringify({ status: `got ${answer.statusCode}` })));
      }).end();
    };
    const failures = { fails: "no space left", "cannot reach": "dial tcp 127.0.0.1:1: connect: connection refused" };
    const server: Server = createServer((incoming, response) => {
      const url = new URL(incoming.url ?? "/", "http://docker");
      const text = decodeURIComponent(incoming.url ?? "").replaceAll(/127\.0\.0\.1:\d+/g, "HOST");
      asked.push(`${incoming.method} ${text.replaceAll(/[0-9a-f]{32,64}/g, "HASH")}`);
      if (url.pathname === "/images/load") {
        incoming.on("data", (chunk: Buffer) => (loaded += chunk.length));
        incoming.on("end", () => response.end('{"stream":"Loaded image"}\n'));
      } else if (url.pathname !== "/images/create") {
        const status = incoming.method === "GET" ? 404 : url.pathname.endsWith("/tag") ? 201 : 200;
        response.writeHead(status).end("{}");
      } else if (behaviour === "pulls") pull(url, response);
      else if (behaviour === "vanishes") incoming.socket.destroy();
      else response.end(`{"status":"Pulling"}\n{"error":"${failures[behaviour]}"}\n`);
    });
    await new Promise<void>((resolve) => server.listen(socketPath, resolve));
    return {
      host: `unix://${socketPath}`,
      asked,
      loaded: () => loaded,
      async [Symbol.asyncDispose]() {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      },
    };
  }

  const run = (args: readonly string[], host: string) => kilnBeside(store, args, { env: { DOCKER_HOST: host } });

  test("an engine pulls from a registry that lives for the pull, and gets the names", async () => {
    await using engine = await fakeDocker("pulls");
    const { status, stderr } = await run(
      ["build", "--load=docker", "-t", "app", "-t", "r.example/app:2", context],
      engine.host,
    );
    expect(stderr).toContain("loading into docker");
    expect(status).toBe(0);
    expect(engine.asked).toEqual([
      "GET /images/sha256:HASH/json",
      "POST /images/create?fromImage=HOST/kiln/HASH&tag=image&platform=",
      "POST /images/HOST/kiln/HASH:image/tag?repo=app&tag=latest",
      "POST /images/HOST/kiln/HASH:image/tag?repo=r.example/app&tag=2",
      "DELETE /images/HOST/kiln/HASH:image?noprune=1",
    ]);
  });

  test("an engine that cannot reach this machine gets an archive", async () => {
    await using engine = await fakeDocker("cannot reach");
    const { status, stderr } = await run(["build", "-o", "type=docker", "-t", "app", context], engine.host);
    expect({ status, stderr: status === 0 ? "" : stderr }).toEqual({ status: 0, stderr: "" });
    expect(engine.asked.at(-1)).toBe("POST /images/load?quiet=1");
    expect(engine.loaded()).toBeGreaterThan(2048);
  });

  test.each([
    { behaviour: "fails", says: "Cannot load into docker: no space left" },
    { behaviour: "vanishes", says: "Cannot reach docker: unix://" },
  ] as const)("an engine that $behaviour is one clear error", async ({ behaviour, says }) => {
    await using engine = await fakeDocker(behaviour);
    const { status, stderr } = await run(["build", "-q", "--load=docker", "-t", "app", context], engine.host);
    expect(status).toBe(1);
    expect(stderr).toContain(`error[export/failed]: ${says}`);
    expect(stderr.match(/error\[/g)).toHaveLength(1);
  });

  test.each([
    { host: "unix:///nothing/here.sock", says: "nothing answers there" },
    { host: "ssh://user@machine", says: "which kiln does not speak" },
  ])("docker at $host", ({ host, says }) => {
    const { status, stderr } = kiln(store, ["build", "-q", "--load=docker", "-t", "app", context], {
      env: { DOCKER_HOST: host },
    });
    expect({ status, stderr }).toMatchObject({ status: 1, stderr: expect.stringContaining(says) });
  });

  test("--load alone means kiln's store, KILN_LOAD an engine, and other engines are refused", () => {
    expect(mustKiln(store, ["build", "-q", "--load", "-t", "alone", context]).stdout).toMatch(/^sha256:/);
    const env = { KILN_LOAD: "docker", DOCKER_HOST: "unix:///nothing/here.sock" };
    expect(kiln(store, ["build", "-q", "-t", "app", context], { env }).stderr).toContain("Cannot reach docker");
    expect(kiln(store, ["build", "-q", "--load=false", "-t", "app", context], { env }).status).toBe(0);
    expect(kiln(store, ["build", "--load=lxc", context])).toMatchObject({ status: 125 });
  });

  test.skipIf(socket === undefined)(
    "the real docker has the image, takes changed layers only, and keeps no other name",
    async () => {
      const host = `unix://${socket ?? ""}`;
      const docker = (method: string, path: string): Promise<string> =>
        new Promise((resolve, reject) => {
          request({ socketPath: socket, method, path }, (answer) => {
            let text = "";
            answer.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
            answer.on("end", () => resolve(text));
          })
            .once("error", reject)
            .end();
        });
      const name = `kiln-engines-test-${process.pid}`;
      try {
        for (const content of ["one", "two"]) {
          writeFileSync(join(context, "f"), content);
          expect(await run(["build", "-q", "--load=docker", "-t", name, context], host)).toMatchObject({ status: 0 });
          const id = mustKiln(store, ["images", "-q", "--no-trunc", name]).stdout.trim();
          const found = JSON.parse(await docker("GET", `/images/${name}/json`)) as {
            readonly Id: string;
            readonly RepoTags: readonly string[];
          };
          expect(found).toMatchObject({ Id: id, RepoTags: [`${name}:latest`] });
          const other = join(folder.path, "from-docker");
          expect(
            await kilnBeside(other, ["pull", `docker-daemon:${name}`], { env: { DOCKER_HOST: host } }),
          ).toMatchObject({ status: 0 });
          expect(mustKiln(other, ["images", "-q", "--no-trunc", name]).stdout.trim()).toBe(id);
        }
      } finally {
        await docker("DELETE", `/images/${name}`);
      }
    },
  );

  test("images are taken over from archives and layouts, and are bases", () => {
    mustKiln(store, ["build", "-q", "-t", "source:1", context]);
    const archive = join(folder.path, "source.tar");
    mustKiln(store, ["save", "-o", archive, "source:1"]);
    const layout = join(folder.path, "layout");
    mustKiln(store, ["build", "-q", "-o", `type=oci,tar=false,dest=${layout}`, context]);
    const other = join(folder.path, "other");
    for (const place of [`docker-archive:${archive}`, `oci-archive:${archive}`, `oci:${layout}`]) {
      expect(mustKiln(other, ["pull", place]).stdout).toMatch(/^sha256:[0-9a-f]{64}\n$/);
    }
    expect(mustKiln(other, ["images", "--format", "{{.Repository}}:{{.Tag}}"]).stdout).toContain("source:1");
    const derived = join(folder.path, "derived");
    mkdirSync(derived);
    writeFileSync(join(derived, "Dockerfile"), "FROM base\nCOPY --from=base /f /g\n");
    const from = `base=docker-archive:${archive}`;
    mustKiln(other, ["build", "-q", "-t", "derived", "--build-context", from, derived]);
    expect(mustKiln(other, ["ls", "derived"]).stdout).toMatch(/\/f\n.*\/g\n/s);
    for (const [place, says] of [
      ["oci:nothere", "there is no such file"],
      ["docker-daemon:x", "nothing answers there"],
    ] as const) {
      const env = { DOCKER_HOST: "unix:///nothing/here.sock" };
      expect(kiln(other, ["pull", place], { env })).toMatchObject({ status: 1, stderr: expect.stringContaining(says) });
    }
  });

  test.skipIf(!has("podman"))("the real podman has the image", () => {
    const graph = join(folder.path, "podman");
    mkdirSync(graph);
    const conf = join(folder.path, "storage.conf");
    writeFileSync(conf, `[storage]\ndriver = "vfs"\nrunroot = "${graph}/run"\ngraphroot = "${graph}/root"\n`);
    const own = { CONTAINERS_STORAGE_CONF: conf };
    const built = kiln(store, ["build", "-q", "--load=podman", "-t", "for-podman:1", context], { env: own });
    expect(built).toMatchObject({ status: 0, stderr: "" });
    const env = { ...process.env, ...own };
    const listed = spawnSync("podman", ["images", "-a", "--format", "{{.Repository}}:{{.Tag}}"], {
      env,
      encoding: "utf8",
    });
    expect(listed.stdout).toBe("docker.io/library/for-podman:1\n");
    const other = join(folder.path, "from-podman");
    expect(kiln(other, ["pull", "containers-storage:for-podman:1"], { env: own })).toMatchObject({ status: 0 });
    expect(mustKiln(other, ["ls", "for-podman:1"]).stdout).toContain("/f");
    expect(kiln(other, ["pull", "containers-storage:nothing"], { env: own })).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('Cannot get "nothing" from podman'),
    });
  });

  const noContainerd = has("containerd") && has("ctr") ? undefined : "needs containerd and ctr";
  if (noContainerd !== undefined) console.warn(`the test of containerd is skipped: ${noContainerd}`);

  /** Starts a containerd of our own, with the folders and the socket in ours. */
  async function startContainerd(): Promise<{ readonly env: Readonly<Record<string, string>> } & AsyncDisposable> {
    const at = join(folder.path, "containerd");
    mkdirSync(at);
    const socketPath = join(at, "c.sock");
    writeFileSync(
      join(at, "config.toml"),
      [
        `version = 2\nroot = "${at}/root"\nstate = "${at}/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]`,
        `[grpc]\n  address = "${socketPath}"\n[ttrpc]\n  address = "${at}/t.sock"\n`,
      ].join("\n"),
    );
    const child = spawn("containerd", ["-c", join(at, "config.toml")], { stdio: "ignore" });
    const env = { CONTAINERD_ADDRESS: socketPath };
    const dispose = async (): Promise<void> => {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      await ended;
    };
    for (let attempt = 0; attempt < 200; attempt += 1) {
      const asked = spawnSync("ctr", ["--connect-timeout", "1s", "version"], { env: { ...process.env, ...env } });
      if (asked.status === 0) return { env, [Symbol.asyncDispose]: dispose };
      await pause(50);
    }
    await dispose();
    throw new Error("containerd did not start");
  }

  test.skipIf(noContainerd !== undefined)(
    "the real containerd has the image, all of its platforms, and no other name",
    async () => {
      await using containerd = await startContainerd();
      const { env } = containerd;
      const ctr = (...args: readonly string[]): string =>
        spawnSync("ctr", args, { env: { ...process.env, ...env }, encoding: "utf8" }).stdout.trim();
      const load = (...args: readonly string[]): Promise<unknown> =>
        kilnBeside(store, ["build", "-q", "--load=containerd", ...args, context], { env });
      const well = expect.objectContaining({ status: 0, stderr: "" }) as unknown;
      expect(await load("-t", "one:1", "-t", "other:2")).toEqual(well);
      expect(ctr("images", "ls", "-q").split("\n")).toEqual(["docker.io/library/one:1", "docker.io/library/other:2"]);
      const mount = join(folder.path, "mount");
      mkdirSync(mount);
      ctr("images", "mount", "docker.io/library/one:1", mount);
      expect(readdirSync(mount)).toEqual(["f"]);
      ctr("images", "unmount", mount);
      expect(await load("-t", "both", "--platform", "linux/amd64,linux/arm64")).toEqual(well);
      expect(ctr("images", "ls", "name==docker.io/library/both:latest")).toContain("linux/amd64,linux/arm64");
      // Where nothing names the image, its digest does: containerd would throw it away.
      const nameless = await kilnBeside(store, ["build", "-q", "--load=containerd", context], {
        env: { ...env, CONTAINERD_NAMESPACE: "own" },
      });
      expect(nameless).toEqual(well);
      expect(ctr("-n", "own", "images", "ls", "-q")).toMatch(/^import-[\d-]+@sha256:[0-9a-f]{64}$/);
    },
  );

  test.skipIf(noContainerd !== undefined)("a containerd that is not there is one clear error", async () => {
    const env = { CONTAINERD_ADDRESS: "/nothing/here.sock" };
    expect(await kilnBeside(store, ["build", "-q", "--load=containerd", "-t", "app", context], { env })).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(
        /^error\[export\/failed\]: Cannot load into containerd: ctr: .*nothing.*\n  hint: is it running\?/,
      ),
    });
  });
});
