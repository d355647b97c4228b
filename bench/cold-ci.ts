/**
 * Simulates a cold CI machine: an empty store, a warm cache in a registry, one changed source file. Prints time, bytes
 * and requests at the registry, for kiln and, where installed, for `docker buildx build` with a cache in its own
 * format.
 *
 *     node bench/cold-ci.ts
 *     KILN_BENCH_REGISTRY=localhost:5000  a registry over HTTP that holds busybox:latest
 *     KILN_BENCH_DOCKER=docker            docker's command; its builder must reach this machine's loopback
 *
 * Both reach the registry through a counting proxy. To make BuildKit cold, the script prunes only this benchmark's
 * steps, which have a name of their own. The rest of its store stays, and with it the base image (1 MB).
 */
import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const upstream = process.env["KILN_BENCH_REGISTRY"] ?? "localhost:5000";
const docker = process.env["KILN_BENCH_DOCKER"] ?? "docker";
const kiln = join(import.meta.dirname, "../bin/kiln");
const work = mkdtempSync(join(tmpdir(), "kiln-cold-ci-"));
const mark = `bench${process.pid}`;
const cacheName = `bench-cache-${process.pid}`;

const counted = { bytes: 0, requests: 0 };
const proxy = createServer((incoming, outgoing) => {
  const target = new URL(incoming.url ?? "/", `http://${upstream}`);
  counted.requests += 1;
  const onward = request(target, { method: incoming.method, headers: incoming.headers }, (answer) => {
    outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.on("data", (chunk: Buffer) => (counted.bytes += chunk.length));
    answer.pipe(outgoing);
  });
  onward.on("error", () => outgoing.destroy());
  incoming.pipe(onward);
});
await new Promise<void>((resolve) => {
  proxy.listen(0, "127.0.0.1", resolve);
});
const registry = `localhost:${(proxy.address() as AddressInfo).port}`;

/**
 * Two stages: tools of 64 MB that make a small file, and an application that needs the small file and its dependencies.
 */
const DOCKERFILE = `FROM ${registry}/busybox:latest AS tools
COPY toolchain /toolchain-${mark}
RUN cat /toolchain-${mark} /toolchain-${mark} > /built && head -c 1000 /built > /tool
FROM ${registry}/busybox:latest
COPY --from=tools /tool /tool-${mark}
COPY dependencies /dependencies-${mark}
RUN cat /dependencies-${mark} > /installed
COPY src /src-${mark}
RUN cat /src-${mark}/main > /out
`;

const context = join(work, "context");
mkdirSync(join(context, "src"), { recursive: true });
writeFileSync(join(context, "Dockerfile"), DOCKERFILE);
writeFileSync(join(context, "toolchain"), randomBytes(32 << 20));
writeFileSync(join(context, "dependencies"), randomBytes(8 << 20));

interface Measured {
  readonly ms: number;
  readonly bytes: number;
  readonly requests: number;
}

/** Runs and measures a command, without spawnSync: the proxy lives in this process. */
async function measured(command: readonly string[]): Promise<Measured> {
  const [program = "", ...args] = command;
  Object.assign(counted, { bytes: 0, requests: 0 });
  const started = performance.now();
  const child = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"] });
  let log = "";
  child.stderr.on("data", (chunk: Buffer) => (log += chunk.toString()));
  const status = await new Promise<number | null>((resolve) => child.once("close", resolve));
  if (status !== 0) throw new Error(`${command.join(" ")} failed:\n${log}`);
  return { ms: performance.now() - started, ...counted };
}

function report(name: string, { ms, bytes, requests }: Measured): void {
  const megabytes = (bytes / 1e6).toFixed(2).padStart(9);
  console.log(
    `${name.padEnd(34)}${ms.toFixed(0).padStart(7)} ms${megabytes} MB${String(requests).padStart(5)} requests`,
  );
}

function change(text: string): void {
  writeFileSync(join(context, "src/main"), text);
}

const withKiln = (store: string, ...more: readonly string[]): readonly string[] => [
  kiln,
  ...["--root", join(work, store), "build", "-q", "--output", "type=cacheonly"],
  ...more,
  context,
];
const withDocker = (...more: readonly string[]): readonly string[] => [
  ...[docker, "buildx", "build", "-q", "--network", "host", "--provenance=false"],
  ...more,
  context,
];

/**
 * Writes docker's cache: a whole cache where the driver can. Docker's own engine, without containerd's image store,
 * writes only the inline cache of an image.
 */
async function writeTheirs(cache: string): Promise<void> {
  const whole = withDocker("--output", "type=cacheonly", "--cache-to", `type=registry,ref=${cache},mode=max`);
  const inline = withDocker("--output", `type=image,name=${cache},push=true`, "--cache-to", "type=inline");
  try {
    report("buildkit: warm, writes the cache", await measured(whole));
  } catch (error) {
    if (!(error instanceof Error) || !error.message.includes("not supported for the docker driver")) throw error;
    report("buildkit: warm, pushes it inline", await measured(inline));
  }
}

try {
  const cache = `type=registry,ref=${registry}/${cacheName}`;
  change("1");
  report("kiln: warm, writes the cache", await measured(withKiln("warm", "--cache-to", `${cache}-kiln,mode=max`)));
  report("kiln: cold, nothing changed", await measured(withKiln("cold-1", "--cache-from", `${cache}-kiln`)));
  change("2");
  report("kiln: cold, one file changed", await measured(withKiln("cold-2", "--cache-from", `${cache}-kiln`)));
  if (spawnSync(docker, ["buildx", "version"]).status === 0) {
    const theirs = `${registry}/${cacheName}-buildkit`;
    const prune = (): void => {
      // The pushed image stays behind as well, with its layers.
      spawnSync(docker, ["rmi", "--force", theirs]);
      const pruned = spawnSync(docker, ["buildx", "prune", "--all", "--force", "--filter", `description~=${mark}`], {
        encoding: "utf8",
      });
      if (pruned.status !== 0) throw new Error(`BuildKit does not forget:\n${pruned.stderr}`);
    };
    change("1");
    prune();
    const taking = withDocker("--output", "type=cacheonly", "--cache-from", `type=registry,ref=${theirs}`);
    await writeTheirs(theirs);
    prune();
    report("buildkit: cold, nothing changed", await measured(taking));
    prune();
    change("2");
    report("buildkit: cold, one file changed", await measured(taking));
  } else console.log(`buildkit: left out, there is no ${docker} with buildx`);
} finally {
  proxy.closeAllConnections();
  proxy.close();
  rmSync(work, { recursive: true, force: true });
}
