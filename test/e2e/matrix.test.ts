import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PROJECT, busyboxRoot, debianTar, has, temporary } from "./harness.ts";
import { contextFor, headersOf, ROWS } from "./rows.ts";

/** Everything that gives files an owner. */
const OWNERS = [
  "FROM base AS other",
  "RUN mkdir /o && echo 1 > /o/f && chown -R 5:6 /o",
  "FROM base",
  "RUN mkdir /app && touch /app/f && ln -s f /app/l && mkfifo /app/p && chown -R 33:44 /app && chown -h 5:6 /app/l",
  "RUN echo app:x:1000:1000::/home:/bin/sh >> /etc/passwd && echo app:x:1000: >> /etc/group",
  "COPY --chown=app f /app/copied",
  "COPY --from=other /o /o",
  "RUN chmod 4755 /app/f && chown 7 /app/f && chgrp 8 /app/p && touch /app/root && mv /app/l /app/moved",
  "RUN chmod 777 /app && su app -c 'id -u > /app/by-su && mkdir /app/d && ln -s x /app/d/l' && test $(id -u) = 0",
  "RUN cp -a /app /copy && test $(stat -c %u:%g /copy/copied) = 1000:1000",
  "USER app",
  "RUN id -u > /app/who && mkdir -p /app/deep/er && test $(stat -c %u /app/who) = 1000 && test $(stat -c %u /o/f) = 5",
  "RUN ! touch /etc/not-mine && ! mkdir /not-mine",
  "USER 0",
  "RUN rm -r /root && mkdir /root && touch /root/new && test -c /dev/null && echo x > /dev/null",
].join("\n");

const MOUNTS = [
  "FROM base AS other",
  "RUN mkdir /o && echo stage > /o/f",
  "FROM base",
  "RUN --mount=type=cache,target=/c,uid=33,gid=44 echo kept > /c/f && test $(stat -c %u:%g /c) = 33:44",
  "RUN --mount=type=cache,target=/c,uid=33,gid=44 test $(cat /c/f) = kept && rm /c/f",
  "RUN --mount=type=secret,id=s,target=/etc/secret,mode=0400 test $(cat /etc/secret) = hush",
  "RUN --mount=type=bind,from=other,source=/o,target=/mnt/o --mount=type=bind,target=/ctx \\",
  "  test $(cat /mnt/o/f) = stage && test $(cat /ctx/f) = hi && test ! -e /etc/secret",
  "RUN --mount=type=tmpfs,target=/etc touch /etc/gone && ! test -e /etc/passwd",
  "RUN ln -s /data/x /d && mkdir -m 700 /private",
  "RUN --mount=type=tmpfs,target=/d/y --mount=type=cache,target=/d/c --mount=type=secret,id=s,target=/d/s/t --mount=type=bind,target=/d/b \\",
  "  test -d /data/x/y && test -d /data/x/c && test $(cat /data/x/s/t) = hush && test $(cat /d/b/f) = hi",
  "RUN --mount=type=tmpfs,target=/private --mount=type=tmpfs,target=/new test $(stat -c %a /private /new | tr -d '\\n') = 7001777",
  "RUN ! test -e /data",
  "RUN test -e /etc/passwd && ! test -e /etc/gone && ! test -e /c && ! test -e /mnt && (sleep 1000 & true)",
].join("\n");

/** The result of the first row that could be tried. */
const expected = new Map<string, readonly string[]>();

describe.each(ROWS)("$name", { timeout: 600_000 }, (row) => {
  if (row.why !== undefined) console.warn(`the tests as ${row.name} are skipped: ${row.why}`);
  const skip = row.why !== undefined;
  const folder = temporary();
  const out = join(folder.path, "out");
  const must = (...args: readonly string[]): ReturnType<typeof row.kiln> => {
    const outcome = row.kiln(folder.path, args);
    if (outcome.status !== 0) throw new Error(`kiln ${args.join(" ")}: ${outcome.stderr}\n${outcome.stdout}`);
    return outcome;
  };
  /** Builds into a tar; returns its content, file by file, and the result of the same build in earlier rows. */
  const build = (name: string, ...args: readonly string[]): { made: readonly string[]; before: readonly string[] } => {
    const tar = join(out, `${name}.tar`);
    must("build", "--progress", "plain", "--output", `type=tar,dest=${tar}`, ...args);
    const made = headersOf(tar);
    rmSync(tar);
    const before = expected.get(name) ?? made;
    expected.set(name, before);
    return { made, before };
  };

  beforeAll(() => {
    if (skip) return;
    mkdirSync(out);
    chmodSync(out, 0o777);
    chmodSync(folder.path, 0o755);
    const tar = join(folder.path, "busybox.tar");
    spawnSync("tar", ["-cf", tar, "--owner=0", "--group=0", "-C", busyboxRoot(folder.path), "."]);
    must("import", tar, "base");
  });
  afterAll(() => folder[Symbol.dispose]());

  test.skipIf(skip)("kiln doctor knows it and says that RUN works", () => {
    const report: unknown = JSON.parse(must("doctor", "--json").stdout);
    expect(report).toMatchObject({ isUsable: true, isolation: row.isolation });
  });

  test.skipIf(skip)("layers have the owners that the Dockerfile asks for", () => {
    const { made, before } = build("owners", contextFor(folder.path, { Dockerfile: OWNERS, f: "hi\n" }));
    expect(made).toEqual(before);
  });

  test.skipIf(skip)("caches, secrets, bind mounts and a tmpfs work and leave nothing", () => {
    const context = contextFor(folder.path, { Dockerfile: MOUNTS, f: "hi\n", secret: "hush" });
    const { made, before } = build("mounts", "--secret", `id=s,src=${join(context, "secret")}`, context);
    expect(made).toEqual(before);
  });

  test.skipIf(skip)("no step changes a device node of the machine", () => {
    const nodes = ["null", "zero", "full", "random", "urandom", "tty"].map((name) => `/dev/${name}`);
    const metadata = (): unknown => nodes.map((path) => [path, statSync(path).mode, statSync(path).ctimeMs]);
    const changes = "chmod 0640 $f; touch -d '2001-01-01 00:00' $f; chown 1:1 $f; chmod 0666 $f";
    const dockerfile = [
      "FROM base",
      `RUN for f in ${nodes.join(" ")} /proc/timer_list /proc/keys; do [ ! -e $f ] || { ${changes}; }; done; true`,
      "RUN echo x > /dev/null && head -c1 /dev/zero > /dev/null",
    ].join("\n");
    const before = metadata();
    must("build", contextFor(folder.path, { Dockerfile: dockerfile }));
    expect(metadata()).toEqual(before);
  });

  test.skipIf(skip || !has("mmdebstrap"))("apt-get, useradd, runuser, install and tar in Debian", () => {
    const tar = join(folder.path, "debian.tar");
    cpSync(debianTar(), tar);
    must("import", tar, "debian");
    const dockerfile = [
      "FROM debian",
      "RUN apt-get update && apt-get install -y --no-install-recommends openssh-client sudo",
      "RUN useradd --create-home --groups adm app && install -d -o app -g adm -m 2775 /srv/x && runuser -u app -- touch /srv/x/f",
      "RUN tar -C /srv -cf /tmp/x.tar x && mkdir /srv/y && tar -C /srv/y -xpf /tmp/x.tar",
      "RUN rm -rf /var/lib/apt /var/cache /var/log /tmp/x.tar",
    ].join("\n");
    const { made, before } = build("debian", contextFor(folder.path, { Dockerfile: dockerfile }));
    expect(made).toEqual(before);
  });

  test.skipIf(skip || !has("mmdebstrap"))("the C program of the main tests, gcc from Debian included", () => {
    const source = contextFor(folder.path, {}, join(PROJECT, "testdata/e2e/c-program"));
    must("build", "--build-arg", "BASE=debian", "-t", "hello", source);
    expect(must("run", "hello").stdout).toBe("Hello, world, from uid 65534\n");
  });
});
