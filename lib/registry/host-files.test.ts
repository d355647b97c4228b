import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { startTestRegistry } from "../../test/support/registry.ts";
import { MEDIA_TYPES } from "../core/oci.ts";
import { parseReference } from "../core/reference.ts";
import { createRegistryClient } from "./client.ts";
import { type ExplainedHosts, readHostFiles } from "./host-files.ts";

const { signal } = new AbortController();
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kiln-host-files-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function put(path: string, content: string): string {
  const full = join(directory, path);
  mkdirSync(dirname(full), { recursive: true });
  writeFileSync(full, content);
  return full;
}

const read = (): Promise<ExplainedHosts> =>
  readHostFiles({
    docker: [join(directory, "docker")],
    containers: [join(directory, "system"), join(directory, "user")],
    registriesConf: [join(directory, "user/registries.conf"), join(directory, "system/registries.conf")],
    aliasesBelow: [join(directory, "user")],
    containerd: join(directory, "containerd"),
    insecure: new Set(),
  });

/** The way to an image's content, as names: mirrors first, the place itself last. */
const way = async (image: string): Promise<readonly string[]> => {
  const { origin, mirrors } = (await read()).route(parseReference(image));
  return [...mirrors.map(({ name, repository }) => `${name}/${repository}`), `${origin.registry}/${origin.repository}`];
};

describe("registries.conf", () => {
  test("the manual's example: mirrors in order, then the location, by the longest prefix", async () => {
    put(
      "user/registries.conf",
      `unqualified-search-registries = ["example.com"]
[[registry]]
prefix = "example.com/foo"
location = "internal.test/bar"
[[registry.mirror]]
location = "mirror-0.test/mirror-for-foo"
[[registry.mirror]]
location = "mirror-1.test/mirrors/foo"
insecure = true
[[registry]]
location = "registry.test"
[[registry.mirror]]
location = "mirror.registry.test"
[[registry]]
prefix = "example.com/foo/own"
location = "example.com/foo/own"
`,
    );
    expect(await way("example.com/foo/image:latest")).toEqual([
      "mirror-0.test/mirror-for-foo/image",
      "mirror-1.test/mirrors/foo/image",
      "internal.test/bar/image",
    ]);
    expect(await way("registry.test/image")).toEqual(["mirror.registry.test/image", "registry.test/image"]);
    expect(await way("example.com/foo/own/x")).toEqual(["example.com/foo/own/x"]);
    expect(await way("example.com/foobar/x")).toEqual(["example.com/foobar/x"]);
    const hosts = await read();
    expect(hosts.get("mirror-1.test")).toEqual({ insecure: true });
    expect(hosts.get("mirror-0.test")).toBeUndefined();
  });

  test("wildcards, a whole Docker Hub elsewhere, drop-ins after the main file, and aliases of the user's", async () => {
    put("system/registries.conf", '[[registry]]\nprefix = "docker.io"\nlocation = "never.test"\n');
    put(
      "user/registries.conf",
      '[[registry]]\nprefix = "*.wild.test"\n[[registry.mirror]]\nlocation = "near.test/wild"\n',
    );
    put("system/registries.conf.d/000-shortnames.conf", '[aliases]\n"fedora" = "registry.fedora.test/fedora"\n');
    put(
      "user/registries.conf.d/mine.conf",
      '[aliases]\n"tool" = "tools.test/team/tool"\n[[registry]]\nprefix = "docker.io/team"\nlocation = "team.test"\n',
    );
    expect(await way("a.b.wild.test:5000/x/y")).toEqual(["near.test/wild/x/y", "a.b.wild.test:5000/x/y"]);
    expect(await way("wild.test/x")).toEqual(["wild.test/x"]);
    expect(await way("alpine")).toEqual(["docker.io/library/alpine"]);
    expect(await way("team/app")).toEqual(["team.test/app"]);
    expect(await way("tool:2")).toEqual(["tools.test/team/tool"]);
    // A distribution's list of short names would give a Dockerfile another base than docker does.
    expect(await way("fedora")).toEqual(["docker.io/library/fedora"]);
  });

  test("version 1 has insecure and blocked registries", async () => {
    put(
      "system/registries.conf",
      '[registries.insecure]\nregistries = ["lan:5000"]\n[registries.block]\nregistries = ["bad.test"]\n',
    );
    expect((await read()).get("lan:5000")).toEqual({ insecure: true });
    await expect(way("bad.test/x")).rejects.toThrow(/blocks "bad\.test"/);
  });

  test.each([
    { name: "not TOML", content: "[[registry\n", says: /registries\.conf": Invalid TOML/ },
    { name: "no location", content: '[[registry]]\nprefix = "a.test"\n', says: /has no location/ },
    { name: "neither", content: "[[registry]]\n", says: /neither prefix nor location/ },
    {
      name: "a wildcard with a path",
      content: '[[registry]]\nprefix = "*.a.test/b"\n',
      says: /a path behind a wildcard/,
    },
    { name: "another type", content: "[[registry]]\nlocation = 5\n", says: /location is not a text/ },
    {
      name: "a strange word",
      content: '[[registry]]\nlocation = "a.test"\n[[registry.mirror]]\nlocation = "b.test"\npull-from-mirror = "x"\n',
      says: /pull-from-mirror/,
    },
    { name: "no list", content: 'registry = "x"\n', says: /\[\[registry\]\] is not a list/ },
  ])("an error names the file: $name", async ({ content, says }) => {
    put("user/registries.conf", content);
    await expect(read()).rejects.toThrow(says);
  });
});

describe("containerd's hosts.toml", () => {
  test("hosts that may pull come first, and the server may be elsewhere", async () => {
    put(
      "containerd/docker.io/hosts.toml",
      `server = "https://registry-1.docker.io"
[host."http://mirror.test:5000"]
  capabilities = ["pull", "resolve"]
[host."https://harbor.test/v2/proxy"]
  override_path = true
  skip_verify = true
[host."https://push.test"]
  capabilities = ["push"]
`,
    );
    put("containerd/old.test/hosts.toml", 'server = "https://new.test/sub"\n');
    expect(await way("alpine")).toEqual([
      "mirror.test:5000/library/alpine",
      "harbor.test/proxy/library/alpine",
      "docker.io/library/alpine",
    ]);
    expect(await way("old.test/a")).toEqual(["new.test/sub/a"]);
    const hosts = await read();
    expect(hosts.get("mirror.test:5000")).toEqual({ plainHttp: true });
    expect(hosts.get("harbor.test")).toEqual({ insecure: true });
  });

  test("_default is for all, and certificates are read", async () => {
    const ca = put("ca.crt", "CA");
    put("containerd/_default/hosts.toml", `[host."https://all.test"]\n  ca = "${ca}"\n`);
    expect(await way("any.test/x")).toEqual(["all.test/x", "any.test/x"]);
    expect((await read()).get("all.test")).toEqual({ ca: ["CA"] });
    put("containerd/_default/hosts.toml", '[host."https://all.test"]\n  ca = "/nothing/here"\n');
    await expect(read()).rejects.toThrow(/there is no such file/);
  });
});

test("each decision is explained with its file", async () => {
  const conf = put("user/registries.conf", '[[registry]]\nprefix = "a.test"\nlocation = "b.test"\ninsecure = true\n');
  put("docker/certs.d/b.test/ca.crt", "CA");
  expect((await read()).explain(parseReference("a.test/x"))).toEqual([
    { what: '"a.test" is read from "b.test"', file: conf },
    { what: "plain HTTP and unverified certificates are accepted", file: conf },
    { what: "authorities of its own are trusted", file: "docker's daemon.json or certs.d" },
  ]);
});

test("a client reads from a mirror under another name, and where it lacks the image from the location", async () => {
  await using mirror = await startTestRegistry();
  await using place = await startTestRegistry();
  const add = (registry: typeof mirror, repository: string, tag: string): string => {
    const config = { mediaType: MEDIA_TYPES.ociConfig, ...registry.addBlob("{}") };
    const bytes = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers: [] });
    return registry.addManifest(repository, tag, MEDIA_TYPES.ociManifest, bytes);
  };
  add(mirror, "copies/app", "1");
  const there = add(place, "real/app", "2");
  put(
    "user/registries.conf",
    `[[registry]]
prefix = "named.test/team"
location = "${place.host}/real"
[[registry.mirror]]
location = "${mirror.host}/copies"
pull-from-mirror = "tag-only"
`,
  );
  await using client = createRegistryClient({
    credentials: { get: async () => undefined },
    userAgent: "test",
    hosts: await read(),
    clock: { nowMs: () => 0 },
    timer: { wait: async () => undefined },
  });
  await client.resolve(parseReference("named.test/team/app:1"), signal);
  expect(place.requests).toHaveLength(0);
  expect((await client.resolve(parseReference("named.test/team/app:2"), signal)).descriptor.digest).toBe(there);
  mirror.clearLog();
  await client.resolve(parseReference(`named.test/team/app@${there}`), signal);
  expect(mirror.requests).toHaveLength(0);
});
