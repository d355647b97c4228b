import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The reason why the real registry cannot be used here, for `describe.skipIf`; `undefined` when it can. */
export const dockerRegistryMissing: string | undefined =
  spawnSync("docker-registry", ["--version"]).status === 0
    ? undefined
    : 'the program "docker-registry" is not installed (Debian package docker-registry)';

/** Distribution's own registry on a free loopback port. Its data is in a temporary folder, removed at the end. */
export interface DockerRegistry extends AsyncDisposable {
  /** `127.0.0.1:40123`: the registry part of references. */
  readonly host: string;
}

export async function startDockerRegistry(): Promise<DockerRegistry> {
  const directory = mkdtempSync(join(tmpdir(), "kiln-docker-registry-"));
  const config = join(directory, "config.yml");
  writeFileSync(
    config,
    `version: 0.1
log:
  level: info
  formatter: json
storage:
  filesystem:
    rootdirectory: ${directory}/data
  delete:
    enabled: true
http:
  addr: 127.0.0.1:0
`,
  );
  const child = spawn("docker-registry", ["serve", config], {
    stdio: ["ignore", "ignore", "pipe"],
    // Older versions send traces to a collector unless told not to.
    env: { ...process.env, OTEL_TRACES_EXPORTER: "none" },
  });
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      const ended = new Promise((resolve) => child.once("close", resolve));
      child.kill("SIGKILL");
      await ended;
    }
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    const host = await new Promise<string>((resolve, reject) => {
      let log = "";
      child.once("error", reject);
      child.once("close", () => reject(new Error(`docker-registry did not start:\n${log}`)));
      child.stderr.setEncoding("utf8").on("data", (text: string) => {
        log += text;
        // It prints its address once it listens: `listening on 127.0.0.1:40123`.
        const found = /listening on (127\.0\.0\.1:\d+)/.exec(log)?.[1];
        if (found !== undefined) resolve(found);
      });
    });
    child.stderr.removeAllListeners("data").resume();
    return { host, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
