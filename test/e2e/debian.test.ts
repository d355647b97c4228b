import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PROJECT, debianTar, has, kiln, missing, mustKiln, startRegistry, temporary } from "./harness.ts";

const why = missing("mmdebstrap", "docker-registry", "skopeo");
if (why !== undefined) console.warn(`the Debian end-to-end tests are skipped: ${why}`);

// The main job in a user's order: a base image is pulled from a real registry, packages are installed in a RUN, and two
// images are pushed, fetched by another client, loaded again and run. The tests build on one another.
describe.skipIf(why !== undefined)("a Debian base image from a registry", { timeout: 600_000 }, () => {
  const folder = temporary();
  const store = join(folder.path, "store");
  let registry: Awaited<ReturnType<typeof startRegistry>>;

  beforeAll(async () => {
    registry = await startRegistry(folder.path);
    const seed = join(folder.path, "seed-store");
    mustKiln(seed, ["import", "--change", 'CMD ["bash"]', debianTar(), `${registry.host}/debian:bookworm`]);
    mustKiln(seed, ["push", `${registry.host}/debian:bookworm`]);
  }, 600_000);

  afterAll(async () => {
    await registry[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  const build = (context: string, tag: string, ...more: string[]) =>
    mustKiln(store, [
      ...[
        "build",
        "--progress",
        "plain",
        "--build-arg",
        `BASE=${registry.host}/debian:bookworm`,
        "-t",
        `${registry.host}/${tag}`,
      ],
      ...more,
      join(PROJECT, "testdata/e2e", context),
    ]);

  test("a C program: gcc in the first stage, only the binary in the second", () => {
    build("c-program", "hello:1", "--build-arg", "GREETING=Good day");
    const run = mustKiln(store, ["run", `${registry.host}/hello:1`]);
    expect(run.stdout).toBe("Good day, world, from uid 65534\n");
    expect(mustKiln(store, ["run", `${registry.host}/hello:1`, "reader"]).stdout).toContain("Good day, reader");
  });

  test("the second build of an unchanged context runs nothing", () => {
    const again = build("c-program", "hello:1", "--build-arg", "GREETING=Good day");
    expect(again.stderr).toMatch(/CACHED/);
    expect(again.stderr).not.toMatch(/Unpacking|apt-get update.*DONE/);
  });

  test("a Node web server: packages, a user of its own, copied files, a heredoc", () => {
    build("node-server", "server:1");
    const run = mustKiln(store, ["run", `${registry.host}/server:1`]);
    expect(run.stdout).toBe("Served from a heredoc as uid 1234 in /home/app/server (production)\n");
  });

  test("an SBOM has the packages that dpkg names", () => {
    const image = `${registry.host}/server:1`;
    const document: unknown = JSON.parse(mustKiln(store, ["sbom", "--format", "cyclonedx", image]).stdout);
    const found = [...JSON.stringify(document).matchAll(/"purl":"pkg:deb\/debian\/([^@"]+)@([^?"]+)/g)].map(
      ([, name = "", version = ""]) => `${decodeURIComponent(name)} ${decodeURIComponent(version)}`,
    );
    const asked = mustKiln(store, [
      ...["run", "--entrypoint", "dpkg-query", image, "-W", "-f", "${Package} ${Version}\\n"],
    ]).stdout;
    expect(found.toSorted()).toEqual(asked.trim().split("\n").toSorted());
    expect(found.length).toBeGreaterThan(50);
  });

  test("pushed images are fetched by another client with the same configuration", () => {
    for (const tag of ["hello:1", "server:1"]) {
      mustKiln(store, ["push", `${registry.host}/${tag}`]);
      const target = join(folder.path, `fetched-${tag.replace(":", "-")}`);
      const copied = spawnSync(
        "skopeo",
        ["copy", "--insecure-policy", "--src-tls-verify=false", `docker://${registry.host}/${tag}`, `oci:${target}:x`],
        { encoding: "utf8" },
      );
      expect(copied.stderr).toBe("");
      expect(copied.status).toBe(0);
      const inspected = spawnSync("skopeo", ["inspect", "--config", `oci:${target}:x`], { encoding: "utf8" });
      const config: unknown = JSON.parse(inspected.stdout);
      expect(config).toMatchObject(
        tag === "hello:1"
          ? {
              config: {
                User: "65534:65534",
                Entrypoint: ["/usr/bin/hello"],
                Cmd: ["world"],
                Labels: { "org.opencontainers.image.version": "1.0" },
              },
            }
          : {
              config: {
                User: "app",
                WorkingDir: "/home/app/server",
                ExposedPorts: { "8080/tcp": {} },
                Volumes: { "/data": {} },
                StopSignal: "SIGINT",
              },
            },
      );
    }
  });

  test("a saved image is loaded by another store and runs there", () => {
    const archive = join(folder.path, "server.tar");
    mustKiln(store, ["save", "-o", archive, `${registry.host}/server:1`]);
    const other = join(folder.path, "other-store");
    mustKiln(other, ["load", "-i", archive]);
    expect(mustKiln(other, ["run", `${registry.host}/server:1`]).stdout).toContain("Served from a heredoc");
    if (has("docker") && spawnSync("docker", ["info"], { stdio: "ignore" }).status === 0) {
      const loaded = spawnSync("docker", ["load", "-i", archive], { encoding: "utf8" });
      expect(loaded.stdout).toContain("Loaded image");
    }
  });

  test("images are pulled into an empty store and run", () => {
    const fresh = join(folder.path, "fresh-store");
    mustKiln(fresh, ["pull", `${registry.host}/hello:1`]);
    expect(mustKiln(fresh, ["run", `${registry.host}/hello:1`]).stdout).toContain("Good day, world");
    expect(mustKiln(fresh, ["images"]).stdout).toContain("hello");
  });

  test("the history of a built image reads like BuildKit's", () => {
    const history = mustKiln(store, ["history", "--no-trunc", `${registry.host}/server:1`]).stdout;
    for (const line of [
      "USER app",
      "HEALTHCHECK {Test:[CMD-SHELL node -e",
      "EXPOSE [8080/tcp]",
      "VOLUME [/data]",
      "STOPSIGNAL SIGINT",
    ]) {
      expect(history).toContain(line);
    }
    expect(history).toContain("COPY --chown=app:app package.json server.js ./ # buildkit");
  });

  test("--output type=local writes the files of the result", () => {
    const target = join(folder.path, "out");
    build("c-program", "hello:1", "--build-arg", "GREETING=Good day", "-o", `type=local,dest=${target}`);
    const binary = readFileSync(join(target, "usr/bin/hello"));
    expect(binary.subarray(1, 4).toString()).toBe("ELF");
  });

  test("a failed RUN says which line, how it ended and what it printed, and leaves no image", () => {
    const context = join(PROJECT, "testdata/e2e/failing");
    const outcome = kiln(store, [
      "build",
      "-t",
      "failing",
      "--build-arg",
      `BASE=${registry.host}/debian:bookworm`,
      context,
    ]);
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).toMatch(/Dockerfile:3/);
    expect(outcome.stderr).toContain("exit code: 7");
    expect(outcome.stderr).toContain("about to fail");
    expect(outcome.stderr).not.toMatch(/^\s+at .*\.ts:/m);
    expect(mustKiln(store, ["images"]).stdout).not.toContain("failing");
  });
});
