import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, readlink, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { importBusybox, noBusybox, writeFiles } from "../../test/support/busybox.ts";
import { cannotRun, testEnvironment } from "../../test/support/environment.ts";
import { BuildError } from "../../lib/core/errors.ts";
import type { ProgressEvent } from "../../lib/core/progress.ts";
import { parseOutput } from "../export/parse-output.ts";
import { build } from "./build.ts";
import type { BuildResult } from "./build-result.ts";
import { Engine } from "./engine.ts";
import type { BuildOptions } from "./options.ts";

const skip = cannotRun ?? noBusybox;
if (skip !== undefined) console.warn(`skipped: builds: ${skip}`);

describe.skipIf(skip !== undefined)("build", () => {
  let home = "";
  let contexts = 0;
  const signal = new AbortController().signal;

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "kiln-build-"));
    await importBusybox(testEnvironment(join(home, "store")));
  });
  afterAll(() => rm(home, { recursive: true, force: true }));

  async function context(files: Readonly<Record<string, string>>): Promise<string> {
    const directory = join(home, `context-${(contexts += 1)}`);
    await mkdir(directory);
    await writeFiles(directory, files);
    return directory;
  }

  async function run(
    options: BuildOptions,
    changes: Parameters<typeof testEnvironment>[1] = {},
  ): Promise<BuildResult & { readonly events: readonly ProgressEvent[] }> {
    const events: ProgressEvent[] = [];
    const environment = testEnvironment(join(home, "store"), { workingDirectory: home, ...changes });
    const result = await build({ ...options, progress: (event) => events.push(event) }, environment, signal);
    return { ...result, events };
  }

  /** The files that a Dockerfile leaves behind. */
  async function outputOf(options: BuildOptions): Promise<string> {
    const destination = join(home, `out-${(contexts += 1)}`);
    const local = parseOutput(new Map(Object.entries({ type: "local", dest: destination })));
    await run({ ...options, outputs: [local] });
    return destination;
  }

  async function failure(options: BuildOptions): Promise<BuildError> {
    try {
      await run(options);
    } catch (error) {
      if (error instanceof BuildError) return error;
      throw error;
    }
    throw new Error("the build succeeded");
  }

  test("a Dockerfile becomes files, config and history", async () => {
    const directory = await context({
      "a.txt": "hello\n",
      Dockerfile: [
        "FROM busybox AS base",
        "ENV NAME=value",
        "WORKDIR /app",
        "COPY a.txt .",
        "RUN cat a.txt > /out && chmod 4755 /out",
        "FROM base",
        "COPY --from=base /out /copied",
        'CMD ["cat", "/out"]',
      ].join("\n"),
    });
    await run({ context: directory, tags: ["app:1"] });
    await using engine = new Engine(testEnvironment(join(home, "store")), { progress: () => {} });
    const found = engine.store.images.find("app:1");
    const config = found.kind === "image" ? found.image.config : undefined;
    expect(config?.config).toMatchObject({
      Cmd: ["cat", "/out"],
      Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "NAME=value"],
      WorkingDir: "/app",
    });
    expect(config?.history.map((entry) => [entry.created_by, entry.empty_layer ?? false])).toEqual([
      [undefined, false],
      ["ENV NAME=value", true],
      ["WORKDIR /app", false],
      ["COPY a.txt . # buildkit", false],
      ["RUN /bin/sh -c cat a.txt > /out && chmod 4755 /out # buildkit", false],
      ["COPY /out /copied # buildkit", false],
      ['CMD ["cat" "/out"]', true],
    ]);
    expect(config?.rootfs.diff_ids).toHaveLength(5);
    const out = await outputOf({ context: directory });
    expect(await readFile(join(out, "copied"), "utf8")).toBe("hello\n");
    expect((await stat(join(out, "out"))).mode & 0o7777).toBe(0o4755);
    expect(await readlink(join(out, "bin/sh"))).toBe("busybox");
  });

  test("a second build of the same context runs nothing and gives the same image", async () => {
    const directory = await context({ a: "1", Dockerfile: "FROM busybox\nCOPY a /a\nRUN cat /a > /b\nLABEL x=y\n" });
    const first = await run({ context: directory, tags: ["twice"] });
    const second = await run({ context: directory, tags: ["twice"] });
    expect(second.imageId).toBe(first.imageId);
    expect(second.manifest?.digest).toBe(first.manifest?.digest);
    expect(second.steps.cached).toBe(second.steps.total);
    expect(second.events.filter((event) => event.kind === "step-miss")).toEqual([]);
  });

  test("a changed file is named as the reason for a step that runs again", async () => {
    const directory = await context({ a: "1", b: "1", Dockerfile: "FROM busybox\nCOPY . /src\nRUN cat /src/a\n" });
    await run({ context: directory });
    await writeFile(join(directory, "a"), "2");
    const { events } = await run({ context: directory });
    const reasons = events.flatMap((event) => (event.kind === "step-miss" ? [event.reason] : []));
    expect(reasons[0]).toContain("a (content)");
  });

  test("an equal result of a step that ran again stops the change there", async () => {
    const directory = await context({
      a: "1",
      Dockerfile:
        "FROM busybox AS one\nCOPY a /a\nRUN echo same > /b\nFROM busybox\nCOPY --from=one /b /b\nRUN cat /b\n",
    });
    await run({ context: directory });
    await writeFile(join(directory, "a"), "2");
    const { events } = await run({ context: directory });
    const started = events.flatMap((event) => (event.kind === "step-started" ? [event.name] : []));
    expect(started.some((name) => name.includes("RUN echo same"))).toBe(true);
    expect(started.some((name) => name.includes("RUN cat /b"))).toBe(false);
  });

  test("a failing command ends the build with its output, place and status", async () => {
    const error = await failure({ context: await context({ Dockerfile: "FROM busybox\nRUN echo before; exit 7\n" }) });
    expect(error).toMatchObject({ code: "solver/exec-failed", span: { start: { line: 2 } } });
    expect(error.message).toContain("exit code: 7");
    expect(error.detail).toContain("before");
  });

  test.each([
    { name: "a missing context", options: { context: "nowhere" }, code: "context/not-found" },
    { name: "a context that is a file", options: { context: "store/kiln.db" }, code: "context/unsupported" },
    { name: "a bad image name", options: { context: ".", tags: ["Bad"] }, code: "reference/malformed" },
    { name: "a missing Dockerfile", options: { context: "store" }, code: "dockerfile/not-found" },
    {
      name: "a missing secret file",
      options: { context: ".", secrets: [{ id: "x", from: "file", path: "nope" }] },
      code: "secret/unreadable",
    },
  ] as const)("$name is an error before any work", async ({ options, code }) => {
    expect((await failure(options)).code).toBe(code);
  });

  const COPY_ALL = "FROM scratch\nCOPY . /\n";
  test.each([
    { name: "small letters, by name", files: { dockerfile: COPY_ALL }, dockerfile: "Dockerfile", has: "dockerfile" },
    { name: "small letters", files: { dockerfile: COPY_ALL }, dockerfile: undefined, has: "dockerfile" },
    { name: "podman's name", files: { Containerfile: COPY_ALL }, dockerfile: undefined, has: "Containerfile" },
    {
      name: "small letters below a folder, with an ignore file of its own",
      files: { "d/dockerfile": COPY_ALL, "d/dockerfile.dockerignore": "b\n", a: "", b: "" },
      dockerfile: "d/Dockerfile",
      has: "a",
    },
  ])("a Dockerfile is found under another name: $name", async ({ files, dockerfile, has }) => {
    const directory = await context({ ...files, b: "" });
    const named = dockerfile === undefined ? {} : { dockerfile: join(directory, dockerfile) };
    const out = await outputOf({ context: directory, ...named });
    expect(existsSync(join(out, has))).toBe(true);
    expect(existsSync(join(out, "b"))).toBe(dockerfile !== "d/Dockerfile");
  });

  test.each([
    { name: "podman's ignore file", files: { ".containerignore": "a\n" }, left: ["b"], notices: 0 },
    {
      name: "docker's before podman's",
      files: { ".dockerignore": "b\n", ".containerignore": "a\n" },
      left: ["a"],
      notices: 1,
    },
    { name: "both, and equal", files: { ".dockerignore": "a\n", ".containerignore": "a\n" }, left: ["b"], notices: 0 },
    { name: "the Dockerfile's own", files: { "Dockerfile.containerignore": "b\n" }, left: ["a"], notices: 0 },
  ])("an ignore file counts: $name", async ({ files, left, notices }) => {
    const directory = await context({ ...files, a: "", b: "", Dockerfile: COPY_ALL });
    const destination = join(home, `out-${(contexts += 1)}`);
    const local = parseOutput(new Map(Object.entries({ type: "local", dest: destination })));
    const { events } = await run({ context: directory, outputs: [local] });
    expect(["a", "b"].filter((name) => existsSync(join(destination, name)))).toEqual(left);
    const said = events.filter(
      (event) => event.kind === "notice" && event.message.includes(".containerignore is not used"),
    );
    expect(said).toHaveLength(notices);
  });

  test("a Dockerfile on standard input has an empty context", async () => {
    const { imageId } = await run({ context: "-", tags: ["piped"] }, { input: "FROM busybox\nRUN echo piped > /p\n" });
    expect(imageId).toMatch(/^sha256:/);
  });

  test("a secret reaches the command that asks for it and no layer", async () => {
    const directory = await context({
      token: "s3cret",
      Dockerfile: "FROM busybox\nRUN --mount=type=secret,id=token grep -q s3cret /run/secrets/token && echo ok > /ok\n",
      ".dockerignore": "token\n",
    });
    const out = await outputOf({
      context: directory,
      secrets: [{ id: "token", from: "file", path: join(directory, "token") }],
    });
    expect(await readFile(join(out, "ok"), "utf8")).toBe("ok\n");
    expect(existsSync(join(out, "run/secrets"))).toBe(false);
  });

  test("an aborted build stops its command and says so", async () => {
    const directory = await context({ Dockerfile: "FROM busybox\nRUN echo started; sleep 600\n" });
    const stop = new AbortController();
    const environment = testEnvironment(join(home, "store"));
    const building = build(
      {
        context: directory,
        progress: (event) => {
          if (event.kind === "log") stop.abort(new BuildError("build/cancelled", "Cancelled by the test"));
        },
      },
      environment,
      stop.signal,
    );
    await expect(building).rejects.toMatchObject({ code: "build/cancelled" });
  });

  test("SOURCE_DATE_EPOCH clamps the image's new times and gives the same bytes at any time", async () => {
    const directory = await context({ a: "1", Dockerfile: 'FROM scratch\nCOPY a /a\nCMD ["/a"]\n' });
    const options = { context: directory, buildArgs: { SOURCE_DATE_EPOCH: "1000000000" }, noCache: true } as const;
    const rewrite = parseOutput(
      new Map(Object.entries({ type: "oci", tar: "false", dest: join(home, "sde"), "rewrite-timestamp": "true" })),
    );
    const first = await run({ ...options, outputs: [rewrite] });
    await writeFile(join(directory, "a"), "1");
    const second = await run({ ...options, outputs: [rewrite] });
    expect(second.manifest?.digest).toBe(first.manifest?.digest);
    const id = first.imageId?.slice(7) ?? "";
    const config: unknown = JSON.parse(await readFile(join(home, "sde/blobs/sha256", id), "utf8"));
    expect(config).toMatchObject({ created: "2001-09-09T01:46:40Z" });
  });

  test("several platforms become an index", async () => {
    const directory = await context({ Dockerfile: "FROM scratch\nARG TARGETARCH\nLABEL arch=$TARGETARCH\n" });
    const { manifest } = await run({ context: directory, platforms: ["linux/amd64", "linux/arm64"], tags: ["multi"] });
    expect(manifest?.mediaType).toBe("application/vnd.oci.image.index.v1+json");
  });
});
