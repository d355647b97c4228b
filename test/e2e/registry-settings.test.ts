import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { busyboxRoot, kiln, missing, mustKiln, startRegistry, temporary } from "./harness.ts";

const why =
  missing("docker-registry") ??
  (existsSync("/bin/busybox") ? undefined : "needs busybox-static") ??
  (existsSync("/etc/docker/daemon.json") ? "docker's engine here has settings of its own" : undefined);
if (why !== undefined) console.warn(`the tests of docker's registry settings are skipped: ${why}`);

describe.skipIf(why !== undefined)("a mirror in docker's daemon.json", () => {
  const folder = temporary();
  let registry: Awaited<ReturnType<typeof startRegistry>>;

  beforeAll(async () => {
    registry = await startRegistry(folder.path);
    const seed = join(folder.path, "seed-store");
    const image = `${registry.host}/library/kiln-mirrored:1`;
    mustKiln(seed, ["import", busyboxRoot(folder.path), image]);
    mustKiln(seed, ["push", image]);
  });

  afterAll(async () => {
    await registry[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  const settings = (name: string, content: string) => {
    const directory = join(folder.path, name, "docker");
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, "daemon.json"), content);
    return { env: { XDG_CONFIG_HOME: join(folder.path, name) } };
  };

  test("is where base images without a registry come from, and they keep their names", () => {
    const env = settings("mirrored", JSON.stringify({ "registry-mirrors": [`http://${registry.host}`] }));
    const store = join(folder.path, "store");
    const input = "FROM kiln-mirrored:1\nRUN echo built > /made\n";
    const { status, stderr } = kiln(store, ["build", "--progress", "plain", "-t", "app", "-"], { ...env, input });
    expect(stderr).toContain("docker.io/library/kiln-mirrored:1");
    expect(status).toBe(0);
    expect(mustKiln(store, ["run", "app", "cat", "/made"]).stdout).toBe("built\n");
  });

  test("that makes no sense is an error that names the file", () => {
    const env = settings("broken", '{ "registry-mirrors": "mirror.test" }');
    const { status, stderr } = kiln(join(folder.path, "other-store"), ["pull", "kiln-mirrored:1"], env);
    expect(stderr).toContain("error[registry/configuration]");
    expect(stderr).toContain(join(env.env.XDG_CONFIG_HOME, "docker/daemon.json"));
    expect(status).toBe(1);
  });
});
