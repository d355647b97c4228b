import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { spawnSync } from "node:child_process";
import { busyboxRoot, temporary } from "./harness.ts";
import { contextFor, headersOf, ROWS } from "./rows.ts";

/** Sets up tests for one row alone; the tests common to all rows are in matrix.test.ts. */
function useRow(isolation: string) {
  const row = ROWS.find((one) => one.isolation === isolation);
  if (row === undefined) throw new Error(`There is no row ${isolation}`);
  if (row.why !== undefined) console.warn(`the tests as ${row.name} alone are skipped: ${row.why}`);
  const folder = temporary();
  beforeAll(() => {
    if (row.why !== undefined) return;
    const tar = join(folder.path, "busybox.tar");
    spawnSync("chmod", ["a+rx", folder.path]);
    spawnSync("tar", ["-cf", tar, "--owner=0", "--group=0", "-C", busyboxRoot(folder.path), "."]);
    row.kiln(folder.path, ["import", tar, "base"]);
  });
  afterAll(() => folder[Symbol.dispose]());
  return {
    skip: row.why !== undefined,
    folder,
    build: (lines: readonly string[], ...args: readonly string[]) => {
      const context = contextFor(folder.path, { Dockerfile: ["FROM base", ...lines].join("\n") });
      return row.kiln(folder.path, ["build", "--progress", "plain", ...args, context]);
    },
  };
}

describe("with a single id", () => {
  const { skip, folder, build } = useRow("single-id");

  test.skipIf(skip)("it is said once what is pretended, and what to do about it", () => {
    const { status, stderr } = build(["RUN true", "RUN id"]);
    expect(status).toBe(0);
    expect(stderr.match(/only your own user exists in this user namespace/g)).toHaveLength(1);
  });

  test.skipIf(skip)("a device that a step makes is a device in the layer, and in stat", () => {
    const tar = join(folder.path, "home/device.tar");
    const { stderr, status } = build(
      [
        "RUN mknod /n c 1 3 && chown 5:6 /n && mknod /b b 7 0 && test -c /n && test $(stat -c %u:%g /n) = 5:6",
        "RUN cp -a /n /m",
      ],
      ...["--output", `type=tar,dest=${tar}`],
    );
    expect(stderr).not.toMatch(/ERROR/);
    expect(status).toBe(0);
    expect(headersOf(tar)).toEqual(
      expect.arrayContaining(["crw-r--r-- 5/6 1,3 n", "crw-r--r-- 5/6 1,3 m", "brw-r--r-- 0/0 7,0 b"]),
    );
  });

  test.skipIf(skip)("a command that changed its user cannot change back or give files away", () => {
    const { status, stderr } = build([
      "RUN echo app:x:1000:1000::/:/bin/sh >> /etc/passwd && touch /tmp/f && chown app /tmp/f",
      "RUN su app -c '! chown 5 /tmp/f && ! mknod /tmp/n c 1 3 && ! su' && test $(stat -c %u /tmp/f) = 1000",
    ]);
    expect(stderr).not.toMatch(/ERROR/);
    expect(status).toBe(0);
  });
});

describe("with chroot alone", () => {
  const { skip, build } = useRow("chroot");

  test.skipIf(skip)("a step has no second chroot and no way to a device of the machine", () => {
    const { status, stderr } = build([
      "RUN mkdir /x && ! chroot /x /bin/true 2>/dev/null",
      "RUN grep -q x /dev/null || mknod /tmp/m c 1 1 && ! dd if=/tmp/m of=/dev/null count=1 2>/dev/null",
      "RUN ! mount -t tmpfs t /mnt 2>/dev/null && ! unshare -m true 2>/dev/null",
    ]);
    expect(stderr).not.toMatch(/ERROR/);
    expect(status).toBe(0);
    expect(stderr.match(/neither namespaces nor mounts are allowed here/g)).toHaveLength(1);
  });

  test.skipIf(skip)("files of /proc that are handed in lead to nothing of the container's", () => {
    const { status, stderr } = build([
      // Its own are there, those of others are not, whichever way they are asked for.
      "RUN test $(cat /proc/self/comm) = cat && ! cat /proc/1/environ && ! cat /proc/1/comm && ! cat /proc/$PPID/comm",
      "RUN ! cat /proc/self/root/../../etc/shadow 2>/dev/null && ! cat /sys/../proc/1/comm && ! cat /proc/self/fd/../../1/comm",
      "RUN test $(readlink /proc/self/root) = / && test $(readlink /proc/self/cwd) = / && test $(readlink /proc/self/exe) = /bin/busybox",
      "RUN cd /proc/self/fd && ! cat ../../1/comm 2>/dev/null && test ! -e /proc/self/fd/../root/usr/lib/os-release",
      "RUN ! (echo 1 > /proc/sys/kernel/hostname) 2>/dev/null; ! cat /proc/kcore && ! cat /proc/keys",
      // A descriptor that may only be read is not opened anew to be written by a user who may not.
      "RUN echo app:x:1000:1000::/:/bin/sh >> /etc/passwd && echo safe > /safe && su app -c '! (echo x > /dev/fd/3) 3< /safe' && grep -q safe /safe",
    ]);
    expect(stderr).not.toMatch(/^ERROR|^error/m);
    expect(status).toBe(0);
  });

  test.skipIf(skip)("writing to a mount that may only be read is told, and reading it is not", () => {
    const { status, stderr } = build([
      "RUN --mount=type=bind,target=/ctx cat /ctx/Dockerfile > /copy",
      "RUN --mount=type=bind,target=/ctx --mount=type=bind,from=base,source=/etc,target=/other touch /ctx/new && ls /other > /list",
    ]);
    expect(status).toBe(0);
    expect(stderr.match(/has written to what it may only read, the mount at \S+/g)).toEqual([
      "has written to what it may only read, the mount at /ctx",
    ]);
  });

  test.skipIf(skip)("what cannot be had is an error, not a weaker step", () => {
    const alone = build(["RUN --network=none true"]);
    expect(alone.status).not.toBe(0);
    expect(alone.stderr).toMatch(/namespaces are not allowed here/);
    const insecure = build(["RUN --security=insecure true"], "--allow", "security.insecure");
    expect(insecure.status).not.toBe(0);
    expect(insecure.stderr).toMatch(/this container has none to give/);
  });
});
