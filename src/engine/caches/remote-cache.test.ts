import { generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { importBusybox, noBusybox, writeFiles } from "../../../test/support/busybox.ts";
import { cannotRun, testEnvironment } from "../../../test/support/environment.ts";
import { dockerRegistryMissing, startDockerRegistry } from "../../../test/support/docker-registry.ts";
import { startTestRegistry, type TestRegistry } from "../../../test/support/registry.ts";
import { cacheOptions } from "../../cli/flags/cache.ts";
import { MEDIA_TYPES } from "../../../lib/core/oci.ts";
import type { ProgressEvent } from "../../../lib/core/progress.ts";
import { parseOutput } from "../../export/parse-output.ts";
import { build } from "../build.ts";
import type { BuildResult } from "../build-result.ts";
import type { BuildOptions } from "../options.ts";

const skip = cannotRun ?? noBusybox;
if (dockerRegistryMissing !== undefined) console.warn(`skipped: a cache in docker-registry: ${dockerRegistryMissing}`);
if (skip !== undefined) console.warn(`skipped: remote caches: ${skip}`);

describe.skipIf(skip !== undefined)("a remote cache", () => {
  const signal = new AbortController().signal;
  let home = "";
  let registry: TestRegistry;
  let base = "";
  let count = 0;

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "kiln-cache-"));
    registry = await startTestRegistry();
    base = `${registry.host}/base:1`;
    // On a machine of its own: the others pull it.
    await importBusybox(testEnvironment(join(home, "maker")));
    const directory = await context({ Dockerfile: "FROM busybox\nLABEL base=1\n" });
    const push = parseOutput(new Map([["type", "registry"]]));
    await run("maker", { context: directory, tags: [base], outputs: [push] });
  });
  afterAll(async () => {
    await registry[Symbol.asyncDispose]();
    await rm(home, { recursive: true, force: true });
  });

  async function context(files: Readonly<Record<string, string>>): Promise<string> {
    const directory = join(home, `context-${(count += 1)}`);
    await mkdir(directory);
    await writeFiles(directory, files);
    return directory;
  }

  /** Builds on a machine with a store of its own. */
  async function run(
    machine: string,
    options: Omit<BuildOptions, "cache"> & { readonly from?: string; readonly to?: string; readonly trust?: string },
  ): Promise<BuildResult & { readonly events: readonly ProgressEvent[] }> {
    const { from, to, trust, ...others } = options;
    const events: ProgressEvent[] = [];
    const cache = cacheOptions({
      from: from === undefined ? [] : [from],
      to: to === undefined ? [] : [to],
      mode: undefined,
      trust: trust === undefined ? [] : [trust],
    });
    const environment = testEnvironment(join(home, machine), { workingDirectory: home });
    const result = await build({ ...others, cache, progress: (event) => events.push(event) }, environment, signal);
    return { ...result, events };
  }

  const coldMachine = (): string => `cold-${(count += 1)}`;
  const newCache = (): string => `type=registry,ref=${registry.host}/cache-${(count += 1)}`;
  const ran = ({ events }: { readonly events: readonly ProgressEvent[] }): string[] =>
    events.flatMap((event) => (event.kind === "step-miss" ? [event.name.replace(/^\[.*?\] /, "")] : []));
  const warnings = ({ events }: { readonly events: readonly ProgressEvent[] }): string[] =>
    events.flatMap((event) => (event.kind === "notice" && event.level === "warning" ? [event.message] : []));
  /** Sizes of the layers fetched since the log was cleared. */
  const fetched = (): number[] =>
    registry.requests.flatMap(({ method, path }) => {
      const digest = /\/blobs\/(sha256:\w+)$/.exec(path)?.[1];
      return method === "GET" && digest !== undefined ? [registry.blobs.get(digest)?.length ?? 0] : [];
    });
  const noise = (bytes: number): string => randomBytes(bytes / 2).toString("hex");
  const twoStages = (files: Readonly<Record<string, string>> = {}): Promise<string> =>
    context({
      deps: noise(200_000),
      "src/a": "1",
      Dockerfile: [
        `FROM ${base} AS build`,
        "COPY deps /deps",
        "RUN cat /deps /deps > /unneeded && echo tool > /tool",
        `FROM ${base}`,
        "COPY --from=build /tool /tool",
        "COPY src /src",
        "RUN cat /src/a > /out",
      ].join("\n"),
      ...files,
    });

  test("makes a cold machine's build a cached one, which fetches no layer", async () => {
    const [directory, cache] = [await twoStages(), newCache()];
    const first = await run("first", { context: directory, to: `${cache},mode=max` });
    registry.clearLog();
    const cold = await run(coldMachine(), { context: directory, from: cache });
    expect(ran(cold)).toEqual([]);
    expect(cold.imageId).toBe(first.imageId);
    expect(warnings(cold)).toEqual([]);
    // The configuration of the base image.
    expect(fetched().filter((size) => size > 4000)).toEqual([]);
    // The marker, and the target's record; nothing below a hit is looked up.
    expect(registry.requests.filter(({ path }) => path.includes("cache-"))).toHaveLength(2);
  });

  test("a push of several names and a cache in one repository ask for each blob once", async () => {
    const directory = await twoStages();
    const name = `${registry.host}/all-${(count += 1)}`;
    const push = parseOutput(new Map([["type", "registry"]]));
    registry.clearLog();
    const tags = ["1", "2", "latest"].map((tag) => `${name}:${tag}`);
    const cache = `type=registry,ref=${name}:cache,mode=max,mounts=true`;
    await run("asking", { context: directory, tags, outputs: [push], to: cache });
    const asked = registry.requests.flatMap(({ method, path }) =>
      method === "HEAD" && path.includes("/blobs/") ? [path] : [],
    );
    expect(asked.length).toBeGreaterThan(5);
    expect(asked.toSorted()).toEqual([...new Set(asked)].toSorted());
  });

  test("gives a cold machine with a changed file only the layers that the changed steps stand on", async () => {
    const [directory, cache] = [await twoStages(), newCache()];
    await run("first", { context: directory, to: `${cache},mode=max` });
    await writeFile(join(directory, "src/a"), "2");
    registry.clearLog();
    const cold = await run(coldMachine(), { context: directory, from: cache });
    expect(ran(cold)).toEqual(["COPY src /src", "RUN cat /src/a > /out"]);
    // The base image, its configuration, and the layer with the tool. Neither what was built from nor what else was.
    expect(fetched()).toHaveLength(3);
    expect(fetched().filter((size) => size > 150_000 && size < 500_000)).toEqual([]);
  });

  test("names the file that differs from another machine's, and says what it was good for", async () => {
    const [directory, cache] = [await twoStages({ "src/b": "b" }), newCache()];
    await run("first", { context: directory, to: `${cache},mode=max` });
    const machine = coldMachine();
    // The last line is another one here, so that the record of the COPY is fetched, and not only that of the target.
    const text = await readFile(join(directory, "Dockerfile"), "utf8");
    await writeFile(join(directory, "Dockerfile"), text.replace("> /out", "> /own"));
    const hit = await run(machine, { context: directory, from: cache });
    const lines = ({ events }: { readonly events: readonly ProgressEvent[] }): string[] => {
      const started = events.flatMap((event) => (event.kind === "step-started" ? [event] : []));
      const line = started.find(({ name }) => name.startsWith("importing cache from"));
      return events.flatMap((event) => (event.kind === "status" && event.id === line?.id ? [event.item] : []));
    };
    expect(lines(hit)).toEqual(["2 results found, 4 asked for", "2 layers fetched"]);
    await writeFile(join(directory, "src/b"), "changed");
    const miss = await run(machine, { context: directory, from: cache });
    const reasons = miss.events.flatMap((event) => (event.kind === "step-miss" ? [event.reason] : []));
    expect(reasons).toEqual(["b (content)", "after COPY src /src"]);
    expect(warnings(miss)).toEqual([]);
  });

  test("travels inside images of several platforms, each platform's with its own", async () => {
    const directory = await context({ a: "a", Dockerfile: "FROM scratch\nARG TARGETARCH\nCOPY a /$TARGETARCH/a\n" });
    const tag = `${registry.host}/inline-platforms:1`;
    const platforms = ["linux/amd64", "linux/arm64"];
    const outputs = [parseOutput(new Map([["type", "registry"]]))];
    const first = await run("first", { context: directory, tags: [tag], platforms, outputs, to: "type=inline" });
    expect(registry.manifests.get("inline-platforms:1")?.mediaType).toBe(MEDIA_TYPES.ociIndex);
    const cold = await run(coldMachine(), { context: directory, platforms, from: `type=registry,ref=${tag}` });
    expect(ran(cold)).toEqual([]);
    expect(cold.imageId).toBe(first.imageId);
    const one = await run(coldMachine(), {
      context: directory,
      platforms: ["linux/arm64"],
      from: `type=registry,ref=${tag}`,
    });
    expect(ran(one)).toEqual([]);
  });

  test("in a directory keeps the entries that any export needed in the last days", async () => {
    const directory = join(home, `shared-${(count += 1)}`);
    const cache = `type=local,dest=${directory},mode=max`;
    const [needed, forgotten] = [await twoStages(), await twoStages({ deps: noise(50_000) })];
    for (const one of [needed, forgotten]) await run("first", { context: one, to: cache });
    const files = async (): Promise<string[]> => {
      const [entries, blobs] = [
        await readdir(join(directory, "entries")),
        await readdir(join(directory, "blobs/sha256")),
      ];
      return [...entries.map((name) => `entries/${name}`), ...blobs.map((name) => `blobs/sha256/${name}`)].toSorted();
    };
    const longAgo = Date.now() / 1000 - 10 * 86_400;
    for (const path of await files()) await utimes(join(directory, path), longAgo, longAgo);
    const before = await files();
    const kept = await run("first", { context: needed, to: `${cache},keep-days=7` });
    expect(warnings(kept)).toEqual([]);
    const after = await files();
    expect(after.length).toBeLessThan(before.length);
    expect(before).toEqual(expect.arrayContaining(after));
    const from = `type=local,src=${directory}`;
    expect(ran(await run(coldMachine(), { context: needed, from }))).toEqual([]);
    const again = await run(coldMachine(), { context: forgotten, from });
    expect(ran(again)).toContain("COPY deps /deps");
    expect(warnings(again)).toEqual([]);
  });

  test("with mode=min has the steps of the result alone", async () => {
    const [directory, cache] = [await twoStages(), newCache()];
    await run("first", { context: directory, to: cache });
    const cold = await run(coldMachine(), { context: directory, from: cache });
    expect(ran(cold)).toEqual([]);
    const tags = [...registry.manifests.keys()].filter((key) => key.startsWith(`${cache.split("/")[1]}:d-`));
    expect(tags).toHaveLength(3);
  });

  test("stops a change where a step's result is the old one", async () => {
    const [directory, cache] = [
      await context({
        a: "same",
        comment: "1",
        Dockerfile: `FROM ${base} AS build\nCOPY a comment /in/\nRUN cat /in/a > /out\nFROM ${base}\nCOPY --from=build /out /out\nRUN cat /out > /end\n`,
      }),
      newCache(),
    ];
    await run("first", { context: directory, to: `${cache},mode=max` });
    await writeFile(join(directory, "comment"), "2");
    const cold = await run(coldMachine(), { context: directory, from: cache });
    expect(ran(cold)).toEqual(["COPY a comment /in/", "RUN cat /in/a > /out"]);
  });

  test("in a directory does the same", async () => {
    const directory = await twoStages();
    const place = join(home, `shared-${(count += 1)}`);
    const first = await run("first", { context: directory, to: `type=local,dest=${place},mode=max` });
    const cached = await run(coldMachine(), { context: directory, from: `type=local,src=${place}` });
    expect([ran(cached), cached.imageId]).toEqual([[], first.imageId]);
    await writeFile(join(directory, "src/a"), "2");
    const cold = await run(coldMachine(), { context: directory, from: `type=local,src=${place}` });
    expect(ran(cold)).toEqual(["COPY src /src", "RUN cat /src/a > /out"]);
    expect((await readdir(join(place, "entries"))).filter((name) => !/^[cd]-[0-9a-f]{64}\.json$/.test(name))).toEqual(
      [],
    );
  });

  test("inside an image that was pushed is found by the image's name", async () => {
    const directory = await twoStages();
    const tag = `${registry.host}/app-${(count += 1)}:1`;
    const push = parseOutput(new Map([["type", "registry"]]));
    await run("first", { context: directory, tags: [tag], outputs: [push], to: "type=inline" });
    const cold = await run(coldMachine(), { context: directory, from: `type=registry,ref=${tag}` });
    expect(ran(cold)).toEqual([]);
    await writeFile(join(directory, "src/a"), "2");
    const changed = await run(coldMachine(), { context: directory, from: `type=registry,ref=${tag}` });
    expect(ran(changed)).toEqual(["COPY src /src", "RUN cat /src/a > /out"]);
  });

  describe("with the contents of cache mounts", () => {
    const withMount = (text: string): Promise<string> =>
      context({
        Dockerfile: `FROM ${base}\nRUN --mount=type=cache,target=/c,id=m${count} ${text}\n`,
      });

    test("gives them back before the first RUN that needs them", async () => {
      const [directory, cache] = [await withMount("echo kept > /c/a && chmod 600 /c/a && echo x > /c/b"), newCache()];
      await run("first", { context: directory, to: `${cache},mounts=true` });
      await writeFile(
        join(directory, "Dockerfile"),
        (await readFile(join(directory, "Dockerfile"), "utf8")).replace(
          /echo.*/,
          "cat /c/a > /out && stat -c %a /c/a >> /out",
        ),
      );
      const destination = join(home, `out-${(count += 1)}`);
      const local = parseOutput(
        new Map([
          ["type", "local"],
          ["dest", destination],
        ]),
      );
      const cold = await run(coldMachine(), { context: directory, from: cache, outputs: [local] });
      expect([ran(cold).length, warnings(cold)]).toEqual([1, []]);
      expect(await readFile(join(destination, "out"), "utf8")).toBe("kept\n600\n");
    });

    test("gives back all directories of a private mount, each to one user", async () => {
      const [id, cache] = [`m${(count += 1)}`, newCache()];
      // Both commands wait for each other, so that both have a directory at one time.
      const stage = (name: string, other: string, round: string, command: string): string =>
        `FROM ${base} AS ${name}\nRUN --mount=type=cache,target=/c,id=${id},sharing=private ` +
        `--mount=type=cache,target=/meet,id=${id}-${round} ${command} && touch /meet/${name} && ` +
        `until [ -e /meet/${other} ]; do sleep 0.05; done\n`;
      const both = (round: string, command: (name: string) => string): string =>
        `${stage("a", "b", round, command("a"))}${stage("b", "a", round, command("b"))}FROM ${base}\n` +
        "COPY --from=a /out /a\nCOPY --from=b /out /b\n";
      const first = await context({ Dockerfile: both("first", (name) => `echo ${name} > /c/who && touch /out`) });
      await run("first", { context: first, to: `${cache},mounts=true` });
      const second = await context({ Dockerfile: both("second", () => "cat /c/who > /out") });
      const destination = join(home, `out-${(count += 1)}`);
      const local = parseOutput(new Map(Object.entries({ type: "local", dest: destination })));
      await run(coldMachine(), { context: second, from: cache, outputs: [local] });
      const found = await Promise.all(["a", "b"].map((name) => readFile(join(destination, name), "utf8")));
      expect(found.toSorted()).toEqual(["a\n", "b\n"]);
    });

    test("leaves a mount empty, and says so, when it is damaged", async () => {
      await using own = await startTestRegistry();
      const [directory, cache] = [await withMount("ls /c > /out && echo 1 > /c/a"), `type=registry,ref=${own.host}/c`];
      await run("first", { context: directory, to: `${cache},mounts=true` });
      own.fail({ path: /blobs\/sha256/, times: 99, kind: { kind: "alter" } });
      const cold = await run(coldMachine(), { context: directory, from: cache, noCache: true });
      expect(warnings(cold)).toEqual([expect.stringContaining("which starts empty")]);
    });

    test("sends nothing again that is there", async () => {
      const [directory, cache] = [await withMount("[ -e /c/a ] || echo 1 > /c/a"), newCache()];
      const sent = (): string[] =>
        registry.requests.flatMap(({ method, path }) => (method === "PUT" && path.includes("/m-") ? [path] : []));
      registry.clearLog();
      await run("first", { context: directory, to: `${cache},mounts=true`, noCache: true });
      expect(sent()).toHaveLength(1);
      await run("first", { context: directory, to: `${cache},mounts=true`, noCache: true });
      expect(sent()).toHaveLength(1);
    });
  });

  test.skipIf(dockerRegistryMissing !== undefined)("in a registry as people run it", async () => {
    await using real = await startDockerRegistry();
    const directory = await twoStages();
    const cache = `type=registry,ref=${real.host}/cache`;
    const first = await run("first", { context: directory, to: `${cache},mode=max,mounts=true` });
    const cold = await run(coldMachine(), { context: directory, from: cache });
    expect([ran(cold), warnings(cold), cold.imageId]).toEqual([[], [], first.imageId]);
    await writeFile(join(directory, "src/a"), "2");
    const changed = await run(coldMachine(), { context: directory, from: cache });
    expect(ran(changed)).toEqual(["COPY src /src", "RUN cat /src/a > /out"]);
  });

  test("loses nothing when two machines write it at one time", async () => {
    const [one, other, cache] = [await twoStages(), await twoStages(), newCache()];
    await Promise.all([
      run("first", { context: one, to: `${cache},mode=max` }),
      run("second", { context: other, to: `${cache},mode=max` }),
    ]);
    expect(ran(await run(coldMachine(), { context: one, from: cache }))).toEqual([]);
    expect(ran(await run(coldMachine(), { context: other, from: cache }))).toEqual([]);
  });

  test("is not written over an image", async () => {
    const directory = await twoStages();
    await expect(run("first", { context: directory, to: `type=registry,ref=${base}` })).rejects.toMatchObject({
      code: "cache/export-failed",
    });
  });

  test("that is not there yet is said once and costs one request", async () => {
    const directory = await context({ Dockerfile: `FROM ${base}\nRUN echo ${noise(20)}\nRUN echo 2\n` });
    registry.clearLog();
    const { events } = await run("first", { context: directory, from: newCache() });
    const notices = events.flatMap((event) => (event.kind === "notice" ? [event.message] : []));
    expect(notices).toEqual([expect.stringContaining("There is no cache at")]);
    expect(registry.requests.filter(({ path }) => path.includes("cache-"))).toHaveLength(1);
  });

  describe("that breaks", () => {
    test.each([
      {
        name: "look-ups with 500",
        fault: { path: /manifests\/[dc]-/, times: 99, kind: { kind: "status", status: 500 } },
      },
      {
        name: "look-ups with an altered answer",
        fault: { path: /manifests\/d-/, times: 99, kind: { kind: "alter" } },
      },
      { name: "dropped look-ups", fault: { path: /manifests\/d-/, times: 99, kind: { kind: "drop", afterBytes: 10 } } },
      {
        name: "layers that are gone",
        fault: { path: /cache-.*\/blobs\//, times: 99, kind: { kind: "status", status: 404 } },
      },
      { name: "altered layers", fault: { path: /cache-.*\/blobs\//, times: 99, kind: { kind: "alter" } } },
      {
        name: "truncated layers",
        fault: { path: /cache-.*\/blobs\//, times: 99, kind: { kind: "truncate", toBytes: 40 } },
      },
    ] as const)(
      "never gives a wrong image: $name",
      async ({ fault }) => {
        await using own = await startTestRegistry();
        const cache = `type=registry,ref=${own.host}/cache-x`;
        const directory = await context({
          deps: noise(2000),
          "src/a": "1",
          Dockerfile: `FROM ${base}\nCOPY deps /deps\nRUN cat /deps > /copy\nCOPY src /src\nRUN cat /src/a /copy > /out\n`,
        });
        await run("first", { context: directory, to: `${cache},mode=max` });
        await writeFile(join(directory, "src/a"), "changed");
        own.fail(fault);
        const destination = join(home, `out-${(count += 1)}`);
        const local = parseOutput(
          new Map([
            ["type", "local"],
            ["dest", destination],
          ]),
        );
        const cold = await run(coldMachine(), { context: directory, from: cache, outputs: [local] });
        // A body that ends early is gone on with where it ended, until all of it is there.
        if (fault.kind.kind !== "truncate") expect(warnings(cold).length).toBeGreaterThan(0);
        expect(await readFile(join(destination, "out"), "utf8")).toBe(
          `changed${await readFile(join(directory, "deps"), "utf8")}`,
        );
      },
      60_000,
    );
  });

  test("that has lost a layer is made good for when an exporter wants it", async () => {
    await using own = await startTestRegistry();
    const [directory, cache] = [await twoStages(), `type=registry,ref=${own.host}/cache`];
    await run("first", { context: directory, to: `${cache},mode=max` });
    own.fail({ method: "GET", path: /cache\/blobs\//, times: 99, kind: { kind: "status", status: 404 } });
    const push = parseOutput(new Map([["type", "registry"]]));
    const tag = `${registry.host}/pushed-${(count += 1)}`;
    const cold = await run(coldMachine(), { context: directory, from: cache, tags: [tag], outputs: [push] });
    expect(warnings(cold)[0]).toContain("its step runs again");
    expect([...registry.manifests.keys()]).toContain(`${tag.slice(tag.indexOf("/") + 1)}:latest`);
  });

  describe("with signatures", () => {
    async function keys(): Promise<{ readonly secret: string; readonly open: string }> {
      const { privateKey, publicKey } = generateKeyPairSync("ed25519");
      const name = join(home, `key-${(count += 1)}`);
      await writeFile(`${name}.pem`, privateKey.export({ type: "pkcs8", format: "pem" }));
      await writeFile(`${name}.pub`, publicKey.export({ type: "spki", format: "pem" }));
      return { secret: `${name}.pem`, open: `${name}.pub` };
    }

    test("counts where they are by a trusted key, and not at all elsewhere", async () => {
      const [directory, signed, unsigned, ours, theirs] = [
        await twoStages(),
        newCache(),
        newCache(),
        await keys(),
        await keys(),
      ];
      await run("first", { context: directory, to: `${signed},sign=${ours.secret}` });
      await run("first", { context: directory, to: unsigned });
      const trusting = await run(coldMachine(), { context: directory, from: signed, trust: ours.open });
      expect(ran(trusting)).toEqual([]);
      const other = await run(coldMachine(), { context: directory, from: signed, trust: theirs.open });
      expect([ran(other).length, warnings(other)]).toEqual([
        5,
        [expect.stringContaining("not signed by a trusted key")],
      ]);
      const bare = await run(coldMachine(), { context: directory, from: unsigned, trust: ours.open });
      expect(ran(bare)).toHaveLength(5);
    });

    test("does not count what an earlier build took without them", async () => {
      const [directory, unsigned, ours] = [await twoStages(), newCache(), await keys()];
      await run("first", { context: directory, to: unsigned });
      const machine = coldMachine();
      await run(machine, { context: directory, from: unsigned });
      const strict = await run(machine, { context: directory, trust: ours.open });
      expect(ran(strict)).toHaveLength(5);
    });
  });
});
