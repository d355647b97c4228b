import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PROJECT, busyboxRoot, debianTar, has, missing, temporary } from "./harness.ts";
import { cannotBePlain, kilnAsPlainUser } from "./plain-user.ts";
import { headersOf } from "./rows.ts";

const why = missing("busybox", "mmdebstrap") ?? cannotBePlain("subordinate");
if (why !== undefined) console.warn(`the tests of a plain user with subordinate ids are skipped: ${why}`);

describe.skipIf(why !== undefined)("a plain user with subordinate ids", { timeout: 600_000 }, () => {
  const folder = temporary();
  const store = join(folder.path, "home/.local/share/kiln");
  const kiln = (...args: string[]) => kilnAsPlainUser(folder.path, "subordinate", args);
  const must = (...args: string[]) => {
    const outcome = kiln(...args);
    if (outcome.status !== 0) throw new Error(`kiln ${args.join(" ")}: ${outcome.stderr}\n${outcome.stdout}`);
    return outcome;
  };
  /** Makes a context that others may read. */
  const context = (files: Readonly<Record<string, string>>): string => {
    const directory = mkdtempSync(join(folder.path, "context-"));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
    spawnSync("chmod", ["-R", "a+rX", directory]);
    return directory;
  };

  beforeAll(() => {
    const tar = join(folder.path, "busybox.tar");
    spawnSync("tar", ["-cf", tar, "-C", busyboxRoot(folder.path), "."]);
    must("import", tar, "base");
  });
  afterAll(() => folder[Symbol.dispose]());

  test("kiln doctor finds everything that RUN needs, and the store is the user's own", () => {
    const report: unknown = JSON.parse(must("doctor", "--json").stdout);
    expect(report).toMatchObject({ isUsable: true, isolation: "subordinate-ids", root: store });
  });

  test("a RUN makes devices and gives files to users beyond the subordinate ids, and sees them so", () => {
    const directory = context({
      Dockerfile: [
        "FROM base",
        "RUN mkdir /d && touch /d/f && ln -s f /d/l && mkfifo /d/p && chown -h 100000:200000 /d/f /d/l /d/p && chown 70000:5 /d && \\",
        '  for one in f l p; do test "$(stat -c %u:%g /d/$one)" = 100000:200000; done && test "$(stat -c %u:%g /d)" = 70000:5 && echo mine > /mine && rm /mine',
        "RUN mknod /n c 1 3 && mknod -m 640 /b b 7 0 && chown 7:100000 /n && test -c /n && test -b /b && echo gone > /n && test ! -s /n && \\",
        "  ! (echo x > /b) 2>/dev/null && test $(stat -c %t.%T:%u:%g /n) = 1.3:7:100000",
        "RUN cp -a /d /e && mv /d/l /d/m && ln /d/f /h && cp -a /n /m && chown 33 /e/f && chgrp 44 /e/f /e/p && tar -cf /t d n && mkdir /u && tar -C /u -xpf /t && rm /t",
        'RUN test "$(find / -xdev -user 100000 | sort | tr "\\n" " ")" = "/d/f /d/m /d/p /e/l /e/p /h /u/d/f /u/d/p "',
        "USER 1000",
        "RUN ! chown 100000 /tmp 2>/dev/null && ! mknod /tmp/n c 1 3 2>/dev/null && test $(stat -c %u /h) = 100000 && ! (echo x > /h) 2>/dev/null && touch /tmp/mine",
      ].join("\n"),
    });
    const out = join(folder.path, "home/made-out.tar");
    const { stderr } = must("build", "--progress", "plain", "--output", `type=tar,dest=${out}`, directory);
    expect(stderr.match(/it is run again with a record of them/g)).toHaveLength(1);
    expect(headersOf(out)).toEqual(
      expect.arrayContaining([
        "drwxr-xr-x 70000/5  d/",
        "-rw-r--r-- 100000/200000  d/f",
        "lrwxrwxrwx 100000/200000  d/m -> f",
        "prw-r--r-- 100000/200000  d/p",
        "-rw-r--r-- 33/44  e/f",
        "lrwxrwxrwx 100000/200000  e/l -> f",
        "prw-r--r-- 100000/44  e/p",
        "hrw-r--r-- 100000/200000  h link to d/f",
        "crw-r--r-- 7/100000 1,3 n",
        "crw-r--r-- 7/100000 1,3 m",
        "brw-r----- 0/0 7,0 b",
        "crw-r--r-- 7/100000 1,3 u/n",
        "drwxr-xr-x 70000/5  u/d/",
        "-rw-r--r-- 1000/0  tmp/mine",
      ]),
    );
  });

  test("owners beyond the subordinate ids, and devices, of images and COPY are kept", () => {
    const tar = join(folder.path, "beyond.tar");
    const script =
      'mkdir -p "$1/d/e" && cd "$1" && touch d/f && ln -s f d/l && mkfifo d/p && mknod d/n c 1 3 && ' +
      "chown -h 100000:200000 d/f d/l d/p && chown 70000:5 d/e && chown 7:100000 d/n && chmod 4755 d/f && tar -cf ../beyond.tar d";
    spawnSync("sh", ["-c", script, "sh", join(folder.path, "beyond")]);
    must("import", tar, "beyond");
    const directory = context({
      f: "hi\n",
      Dockerfile:
        "FROM beyond AS b\nFROM base\nCOPY --from=b /d /d\nCOPY --chown=100000:7 f /f\nCOPY --from=b --chown=5:6 /d/f /g\n",
    });
    const out = join(folder.path, "home/beyond-out.tar");
    must("build", "--output", `type=tar,dest=${out}`, directory);
    expect(headersOf(out)).toEqual(
      expect.arrayContaining([
        "drwxr-xr-x 70000/5  d/e/",
        "-rwsr-xr-x 100000/200000  d/f",
        "lrwxrwxrwx 100000/200000  d/l -> f",
        "prw-r--r-- 100000/200000  d/p",
        "crw-r--r-- 7/100000 1,3 d/n",
        "-rw-r--r-- 100000/7  f",
        "-rwsr-xr-x 5/6  g",
      ]),
    );
  });

  test("layers carry the owners the Dockerfile asked for", () => {
    const directory = context({
      f: "hi\n",
      Dockerfile: [
        "FROM base",
        "RUN mkdir /data && chown 33:44 /data && touch /data/www && chown 1234:65534 /data/www && chmod 4755 /data/www",
        "COPY --chown=12:13 f /data/f",
        "USER 1000:1001",
        "RUN id -u > /tmp/who && cat /proc/1/comm",
        "USER 0",
        "RUN rm -r /root && mkdir /root && touch /root/new && test -c /dev/null",
      ].join("\n"),
    });
    must("build", "-t", "owners", directory);
    const archive = join(folder.path, "home/owners.tar");
    must("save", "-o", archive, "owners");
    const unpacked = mkdtempSync(join(folder.path, "archive-"));
    spawnSync("tar", ["-xf", archive, "-C", unpacked]);
    const read = (path: string): { manifests: { digest: string }[]; layers: { digest: string }[] } =>
      JSON.parse(readFileSync(join(unpacked, path), "utf8"));
    const blob = (digest: string | undefined): string => `blobs/${digest?.replace(":", "/") ?? ""}`;
    const { layers } = read(blob(read("index.json").manifests[0]?.digest));
    const entries = layers.slice(1).flatMap(({ digest }) =>
      spawnSync("tar", ["--numeric-owner", "-tvf", join(unpacked, blob(digest))], { encoding: "utf8" })
        .stdout.trim()
        .split("\n")
        .map((line) => line.split(/\s+/))
        .map(([mode, owner, , , , name]) => `${mode} ${owner} ${name}`),
    );
    expect(entries).toEqual(
      expect.arrayContaining([
        "drwxr-xr-x 33/44 data/",
        "-rwsr-xr-x 1234/65534 data/www",
        "-rw-r--r-- 12/13 data/f",
        "-rw-r--r-- 1000/1001 tmp/who",
        "drwxr-xr-x 0/0 root/",
        "-rw-r--r-- 0/0 root/new",
      ]),
    );
  });

  test("a USER beyond the ids is an error that says so", () => {
    const directory = context({ Dockerfile: "FROM base\nUSER 230000\nRUN id\n" });
    const { status, stderr } = kiln("build", "--progress", "plain", directory);
    expect(status).not.toBe(0);
    expect(stderr).toContain("error[runtime/user-not-mapped]: Cannot run a command as user 230000");
  });

  test("a limit that cannot be set is said once, and the step runs", () => {
    const directory = context({ Dockerfile: "FROM base\nRUN echo 1 > /a\nRUN echo 2 > /b\n" });
    const { stderr } = must("build", "--progress", "plain", "--resource", "memory=64m", directory);
    const said = stderr.split("\n").filter((line) => line.includes("limits on memory are not enforced"));
    expect(said.length).toBeLessThanOrEqual(1);
  });

  test("no network, secrets, caches and the root of the step without rights over the machine", () => {
    const directory = context({
      secret: "hush",
      Dockerfile: [
        "FROM base",
        "RUN --network=none --mount=type=cache,target=/c --mount=type=secret,id=s,uid=5,mode=0400 \\",
        '  test "$(cat /run/secrets/s)" = hush && test "$(stat -c %u /run/secrets/s)" = 5 && touch /c/x && ! ip link add d type dummy',
        "RUN --mount=type=cache,target=/c test -e /c/x && ! echo 1 > /proc/sys/kernel/hostname",
      ].join("\n"),
    });
    const { status } = kiln("build", "--secret", `id=s,src=${join(directory, "secret")}`, directory);
    expect(status).toBe(0);
  });

  test.skipIf(!has("mmdebstrap"))("the C program of the main tests, gcc from Debian included", () => {
    const tar = join(folder.path, "debian.tar");
    cpSync(debianTar(), tar);
    must("import", tar, "debian");
    const source = join(folder.path, "c-program");
    cpSync(join(PROJECT, "testdata/e2e/c-program"), source, { recursive: true });
    must("build", "--build-arg", "BASE=debian", "-t", "hello", source);
    expect(must("run", "hello").stdout).toBe("Hello, world, from uid 65534\n");
  });

  test("kiln system reset removes the store, files of subordinate ids included", () => {
    must("build", context({ Dockerfile: "FROM base\nRUN mkdir -m 700 /d && touch /d/f && chown -R 33:44 /d" }));
    expect(kiln("system", "reset").stderr).toMatch(/standard input is no terminal[^]*--force/);
    expect(must("system", "reset", "--force").stdout).toBe(`Removed ${store}\n`);
    expect(existsSync(store)).toBe(false);
  });
});
