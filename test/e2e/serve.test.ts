import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PROJECT, busyboxRoot, has, kiln, missing, mustKiln, temporary } from "./harness.ts";

const why = missing("busybox");
if (why !== undefined) console.warn(`the tests of kiln serve are skipped: ${why}`);
/** A docker client that takes DOCKER_HOST. */
const CLIENT = process.env["KILN_TEST_DOCKER_CLIENT"] ?? "docker";
const noClient = why ?? (has(CLIENT) ? undefined : "needs a docker client (KILN_TEST_DOCKER_CLIENT)");
if (noClient !== undefined) console.warn(`the tests of kiln serve with docker's client are skipped: ${noClient}`);

describe.skipIf(why !== undefined)("kiln serve", { timeout: 60_000 }, () => {
  const folder = temporary();
  const store = join(folder.path, "store");
  const socket = join(folder.path, "kiln.sock");
  const context = join(folder.path, "context");
  let server: ChildProcess;

  const start = async (): Promise<void> => {
    server = spawn(join(PROJECT, "bin/kiln"), ["--root", store, "serve", "--socket", socket], { stdio: "ignore" });
    // Another process: poll until its socket is there.
    for (let attempt = 0; attempt < 400 && !existsSync(socket); attempt += 1) await pause(25);
  };
  const end = async (signal: NodeJS.Signals): Promise<unknown> => {
    const ended = once(server, "exit");
    server.kill(signal);
    const [status] = await ended;
    return status;
  };
  const docker = (
    args: readonly string[],
    input = "",
  ): { readonly status: number | null; readonly stdout: string; readonly stderr: string } =>
    spawnSync(CLIENT, args, {
      cwd: context,
      input,
      encoding: "utf8",
      timeout: 30_000,
      env: { ...process.env, DOCKER_HOST: `unix://${socket}`, DOCKER_BUILDKIT: "0", DOCKER_CONFIG: folder.path },
    });

  beforeAll(async () => {
    mkdirSync(context);
    writeFileSync(join(context, "Dockerfile"), "FROM base\nARG N\nRUN echo step $N\nCOPY a /a\n");
    writeFileSync(join(context, "a"), "a\n");
    mustKiln(store, ["import", busyboxRoot(folder.path), "base"]);
    await start();
  });
  afterAll(async () => {
    await end("SIGTERM");
    folder[Symbol.dispose]();
  });

  test.skipIf(noClient !== undefined)("docker's client builds, lists, saves, loads and removes", () => {
    expect(docker(["version", "--format", "{{.Server.Version}} {{.Client.APIVersion}}"]).stdout).toMatch(
      /^0\.\S+ 1\.\d\d\n$/,
    );
    const built = docker(["build", "-t", "app:1", "--build-arg", "N=7", "--label", "a=b", "."]);
    expect(built).toMatchObject({ status: 0, stdout: expect.stringMatching(/step 7[\s\S]*Successfully tagged app:1/) });
    const id = docker(["build", "-q", "--build-arg", "N=7", "--label", "a=b", "."]).stdout.trim();
    expect(docker(["image", "inspect", "-f", "{{.Id}} {{.Config.Labels.a}}", "app:1"]).stdout.trim()).toBe(`${id} b`);
    expect(docker(["inspect", "-f", "{{.Id}}", "app:1"]).stdout.trim()).toBe(id);
    expect(docker(["images", "--format", "{{.Repository}}:{{.Tag}}", "app"]).stdout).toBe("app:1\n");
    expect(docker(["history", "-q", "app:1"]).stdout).toContain(id.slice(7, 19));
    expect(docker(["save", "-o", join(context, "app.tar"), "app:1"])).toMatchObject({ status: 0 });
    expect(docker(["tag", "app:1", "other:2"])).toMatchObject({ status: 0 });
    expect(docker(["rmi", "-f", "app:1", "other:2"]).stdout).toContain("Untagged: other:2");
    expect(docker(["load", "-i", join(context, "app.tar")]).stdout).toContain("Loaded image: app:1");
    expect(docker(["build", "-f", "-", "."], "FROM base\nRUN exit 42\n")).toMatchObject({ status: 42 });
    expect(docker(["build", "-f", "-", "."], "FROM base\nNONSENSE\n")).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("unknown instruction: NONSENSE"),
    });
    expect(docker(["run", "app:1"])).toMatchObject({ status: 125, stderr: expect.stringContaining("kiln run") });
  });

  test.each(["SIGINT", "SIGTERM"] as const)("%s ends it with its builds, and leaves nothing", async (signal) => {
    writeFileSync(join(context, "slow"), "FROM base\nRUN sleep 98766\n");
    const archive = spawnSync("tar", ["-c", "-C", context, "slow"]).stdout;
    const head = `POST /build?dockerfile=slow HTTP/1.1\r\nHost: x\r\nContent-Length: ${archive.length}\r\n\r\n`;
    const client = connect(socket);
    client.on("error", () => undefined);
    client.write(head);
    client.write(archive);
    const begun = Promise.withResolvers<void>();
    let said = "";
    client.on("data", (chunk) => {
      said += String(chunk);
      if (said.includes("RUN sleep")) begun.resolve();
    });
    await begun.promise;
    const startedMs = Date.now();
    expect(await end(signal)).toBe(0);
    expect(Date.now() - startedMs).toBeLessThan(10_000);
    const sleepers = readdirSync("/proc").filter((pid) => {
      try {
        return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "latin1").includes("sleep\u000098766");
      } catch {
        return false; // it has just ended
      }
    });
    expect(sleepers).toEqual([]);
    expect(existsSync(socket)).toBe(false);
    expect(readdirSync(join(store, "running"))).toEqual(["lock"]);
    await start();
  });

  test.each([
    [["-H", "tcp://0.0.0.0:2375"], /unix sockets only/],
    [["--builds", "0"], /--builds/],
    [["--socket", "/proc/1/x.sock"], /Cannot listen on/],
  ])("kiln serve %j is refused", (args, says) => {
    const { status, stderr } = kiln(store, ["serve", ...args]);
    expect({ status, stderr }).toEqual({ status: expect.toBeOneOf([1, 125]), stderr: expect.stringMatching(says) });
  });
});
