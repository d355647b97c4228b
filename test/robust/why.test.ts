import { chmodSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { kiln, missing, mustKiln, type Outcome, temporary } from "../e2e/harness.ts";
import { importBusybox, writeContext } from "./kiln-process.ts";

const why = missing("busybox");
if (why !== undefined) console.warn(`tests of explanations are skipped: ${why}`);

const DOCKERFILE = `FROM busybox AS build
COPY . /src
ARG GIT_SHA=1
RUN echo $GIT_SHA > /sha
FROM busybox
COPY --from=build /src/a.txt /out/
RUN cat /out/a.txt > /twice
`;

describe.skipIf(why !== undefined)("why a step ran", { timeout: 120_000 }, () => {
  const folder = temporary();
  const fresh = join(folder.path, "fresh");
  const store = join(folder.path, "store");
  const context = join(folder.path, "context");

  beforeAll(() => importBusybox(store, folder.path));
  afterAll(() => folder[Symbol.dispose]());
  beforeEach(() => {
    mustKiln(store, ["prune", "--all"]);
    rmSync(context, { recursive: true, force: true });
    writeContext(context, { Dockerfile: DOCKERFILE, "a.txt": "a\n", "b.txt": "b\n", "run.sh": "#!/bin/sh\n" });
    chmodSync(join(context, "run.sh"), 0o664);
  });

  const build = (...args: string[]): Outcome => kiln(store, ["build", "--progress", "plain", ...args, context]);
  const explained = (...args: string[]): string[] =>
    mustKiln(store, ["why", ...args])
      .stdout.trimEnd()
      .split("\n");
  /** Lists the reasons that the display gave during the build. */
  const said = (outcome: Outcome): string[] =>
    outcome.stderr.split("\n").flatMap((line) => /^#\d+ why: (.*)$/.exec(line)?.[1] ?? []);

  test("is said during the build and afterwards: files by name, with what of them changed", () => {
    build();
    writeContext(context, { "a.txt": "changed\n", "c.txt": "new\n" });
    rmSync(join(context, "b.txt"));
    chmodSync(join(context, "run.sh"), 0o644);
    const [files, copied] = [
      "a.txt (content), c.txt (added), run.sh (mode 0664 -> 0644), b.txt (removed)",
      "a.txt (content)",
    ];
    const [afterFiles, afterCopied] = ["after COPY . /src", "after COPY --from=build /src/a.txt /out/"];
    expect(said(build()).toSorted()).toEqual([files, copied, afterFiles, afterCopied].toSorted());
    expect(explained().slice(1)).toEqual([
      `${files}: COPY . /src`,
      `${afterFiles}: RUN echo $GIT_SHA > /sha`,
      `${copied}: COPY --from=build /src/a.txt /out/`,
      `${afterCopied}: RUN cat /out/a.txt > /twice`,
    ]);
    expect(explained()[0]).toMatch(/^Build of .*context, .* ago: 4 of \d steps ran$/);
  });

  const SHA = "RUN echo $GIT_SHA > /sha";
  test.each([
    { name: "a build argument", line: SHA, change: ["--build-arg", "GIT_SHA=2"], reason: "ARG GIT_SHA changed" },
    { name: "another word of a command", line: SHA.replace(">", ">>"), change: [], reason: '">" -> ">>"' },
    {
      name: "a flag of a command",
      line: SHA.replace("echo", "--network=none echo"),
      change: [],
      reason: '-> "--network=none"',
    },
  ])("names $name, and says it before the command", ({ line, change, reason }) => {
    build("--target", "build");
    writeContext(context, { Dockerfile: DOCKERFILE.replace(SHA, line) });
    expect(said(build("--target", "build", ...change))).toContain(reason);
    expect(explained("GIT_SHA")).toContain(`${reason}: ${line}`);
  });

  test.each([
    { name: "an empty cache", before: [], change: [], reason: "cache was pruned" },
    { name: "--no-cache", before: ["."], change: ["--no-cache"], reason: "--no-cache" },
    { name: "--no-cache-filter", before: ["."], change: ["--no-cache-filter", "build"], reason: "--no-cache" },
  ])("says once what all steps lack: $name", ({ before, change, reason }) => {
    if (before.length > 0) build("--target", "build");
    const steps = ["COPY . /src", "RUN echo $GIT_SHA > /sha"];
    const outcome = build("--target", "build", "--explain", ...change);
    expect(said(outcome)).toEqual([reason]);
    const lines = [`${reason}, 2 steps:`, ...steps.map((step) => `  ${step}`)];
    expect(outcome.stderr).toContain(`${lines.join("\n")}\n`);
    expect(explained().slice(1)).toEqual(lines);
    expect(explained("GIT_SHA")[0]).toBe(`${reason}: ${steps[1]}`);
    const { steps: told } = JSON.parse(explained("--json").join("\n")) as { steps: { why?: string }[] };
    expect(told.flatMap(({ why: line }) => line ?? [])).toEqual(steps.map((step) => `${reason}: ${step}`));
  });

  test("names a base image that moved", () => {
    build();
    writeContext(join(folder.path, "busybox-root"), { "etc/moved": `${Math.PI}` });
    mustKiln(store, ["import", join(folder.path, "busybox-root"), "busybox"]);
    expect(said(build())).toContain("FROM busybox: digest moved");
  });

  test("says that the cache was pruned, or that nothing was ever built", () => {
    expect(said(build())).toContain("cache was pruned");
    mustKiln(store, ["prune", "--all"]);
    expect(said(build())).toContain("cache was pruned");
    importBusybox(fresh, join(folder.path, "again"));
    expect(said(kiln(fresh, ["build", "--progress", "plain", context]))).toContain("never built here");
  });

  test("is told of one step by number, stage or text, and with values", () => {
    build("-t", "first");
    build("-t", "second", "--build-arg", "GIT_SHA=2");
    expect(explained("GIT_SHA")).toEqual([
      "ARG GIT_SHA changed: RUN echo $GIT_SHA > /sha",
      "  ARG GIT_SHA: 1 -> 2",
      expect.stringMatching(/^ {2}took \d+\.\d\d s of processor time, \S+ of memory at most/),
    ]);
    expect(explained("--build", "first", "COPY . /src")[0]).toMatch(/^cache was pruned: COPY \. \/src$/);
    expect(explained("COPY . /src")).toEqual(["[build 2/3] COPY . /src: cached"]);
    expect(kiln(store, ["why", "no such step"])).toMatchObject({ status: 125, stdout: "" });
  });

  test("is told when an equal result was taken after all", () => {
    build();
    build("--build-arg", "GIT_SHA=2");
    writeContext(context, { "b.txt": "changed\n" });
    build();
    const line = explained("1").concat(explained("COPY --from=build /src/a.txt"));
    expect(line.at(-1)).toMatch(/ \(its inputs are equal, so the earlier result was taken\)$/);
  });

  test("is one JSON object for tools, of a build that failed too", () => {
    build();
    const cached = JSON.parse(build("--explain=json").stdout) as { steps: { how: string }[] };
    expect(new Set(cached.steps.map(({ how }) => how))).toEqual(new Set(["cached"]));
    writeContext(context, { "a.txt": "changed\n" });
    const failed = build("--explain=json", "--expect-cached");
    expect(failed.status).toBe(1);
    expect(JSON.parse(failed.stdout)).toMatchObject({
      error: { code: "build/unexpected-miss" },
      steps: [
        {
          instruction: "COPY . /src",
          miss: { kind: "changed", changes: [{ kind: "files", files: [{ path: "a.txt", what: ["content"] }] }] },
          why: "a.txt (content): COPY . /src",
        },
      ],
    });
  });

  test("fails a build that should have been cached, as a whole or in one stage", () => {
    expect(build("--expect-cached").stderr).toContain(
      "Cannot take a step from the cache: cache was pruned: COPY . /src",
    );
    expect(build().status).toBe(0);
    expect(build("--expect-cached").status).toBe(0);
    const other = ["--build-arg", "GIT_SHA=never built"];
    const refused = build("--expect-cached=build", ...other);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain(
      "Cannot take a step from the cache: ARG GIT_SHA changed: RUN echo $GIT_SHA > /sha",
    );
    expect(build("--expect-cached=1", "--target", "build", ...other).status).toBe(0);
  });
});
