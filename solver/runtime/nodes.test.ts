import { lstatSync, mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readHostFacts } from "./host.ts";
import { DEVICES } from "./policy/paths.ts";
import { cannotRun, Sandbox } from "./testing.ts";

const facts = readHostFacts();
const missing = cannotRun() ?? (facts.userNamespace === undefined ? undefined : "needs the first user namespace");
if (missing !== undefined) console.warn(`skipping the nodes of /dev: ${missing}`);

const withoutCgroups = {
  ...facts,
  mountInfoText: facts.mountInfoText
    .split("\n")
    .filter((line) => !line.includes(" - cgroup"))
    .join("\n"),
};
const allIds = { uidMap: "0 0 4294967295", gidMap: "0 0 4294967295", setgroups: "allow" } as const;
const names = Object.keys(DEVICES);

/** Reads the changeable metadata of the host's nodes, to see that a step cannot change it. */
function metadata(): unknown[] {
  return names.map((name) => {
    const { mode, uid, gid, mtimeMs, ctimeMs } = lstatSync(`/dev/${name}`);
    return { name, mode, uid, gid, mtimeMs, ctimeMs };
  });
}

const MASKED = "/proc/timer_list /proc/keys /proc/kcore";

describe.skipIf(missing !== undefined).each([
  { name: "root", options: {}, replaceable: true },
  { name: "root without a filter for devices", options: { facts: withoutCgroups }, replaceable: false },
  { name: "a step in a user namespace of its own", options: { userNamespace: allIds }, replaceable: false },
])("the nodes of /dev, for $name,", ({ options, replaceable }) => {
  let box: Sandbox;
  beforeAll(() => {
    box = new Sandbox(options);
  });
  afterAll(() => {
    box[Symbol.dispose]();
  });

  test("are not the host's, nor is what hides a file", async () => {
    const { stdout } = await box.sh(
      `for f in ${names.map((name) => `/dev/${name}`).join(" ")} ${MASKED}; do [ -e $f ] && stat -c '%n %F %a %u:%g %d' $f; done; true`,
    );
    const lines = stdout.trim().split("\n");
    expect(lines.length).toBeGreaterThan(names.length);
    for (const line of lines) {
      expect(line).toMatch(/ character special file 666 0:0 \d+$/);
      expect(line.split(" ").at(-1)).not.toBe(String(lstatSync("/dev/null").dev));
    }
  });

  test("may be changed like files of the step, invisibly to others", async () => {
    const before = metadata();
    const { stdout, stderr } = await box.sh(
      [
        "chmod 640 /dev/full && chown 5:6 /dev/full && touch -d '2001-01-01 00:00:00' /dev/full && stat -c '%a %u:%g %Y' /dev/full",
        "chmod 666 /dev/null && echo null",
        `for f in ${MASKED}; do [ ! -e $f ] || chmod 600 $f; done; stat -c %a /dev/null`,
      ].join("; "),
    );
    expect({ stdout, stderr }).toEqual({ stdout: "640 5:6 978307200\nnull\n600\n", stderr: "" });
    expect(metadata()).toEqual(before);
    expect((await box.sh("stat -c %a /dev/full")).stdout).toBe("666\n");
  });

  test("work", async () => {
    const { stdout } = await box.sh("head -c3 /dev/zero | wc -c; echo x > /dev/null; echo x > /dev/full || echo full", {
      user: { uid: 1000, gid: 1000, supplementary: [], home: "/" },
    });
    expect(stdout).toBe("3\nfull\n");
  });

  test.runIf(replaceable)("may be made anew", async () => {
    const { exitCode, stderr } = await box.sh("rm -f /dev/null && mknod -m 666 /dev/null c 1 3 && echo > /dev/null");
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  });

  test("are all of the host's for an insecure step, and not the host's inodes", async () => {
    const before = metadata();
    const { stdout } = await box.sh("stat -c %d /dev/kmsg /dev/null", { security: "insecure" });
    const devices = stdout.trim().split("\n");
    expect(devices).toHaveLength(2);
    for (const device of devices) expect(device).toMatch(/^\d+$/);
    expect(devices).not.toContain(String(lstatSync("/dev/null").dev));
    expect(metadata()).toEqual(before);
  });
});

describe.skipIf(missing !== undefined)("mounts in /dev", () => {
  let box: Sandbox;
  beforeAll(() => {
    box = new Sandbox();
  });
  afterAll(() => {
    box[Symbol.dispose]();
  });
  const tmpfs = (
    target: string,
    sizeBytes?: number,
  ): { kind: "tmpfs"; target: string; sizeBytes: number | undefined } => ({
    kind: "tmpfs",
    target,
    sizeBytes,
  });
  const secret = (
    target: string,
  ): { kind: "secret"; target: string; data: Buffer; permissions: number; uid: number; gid: number } => ({
    kind: "secret",
    target,
    data: Buffer.from("x"),
    permissions: 0o444,
    uid: 0,
    gid: 0,
  });

  test.each([
    {
      name: "a tmpfs on /dev takes its place and gets the nodes",
      mounts: [tmpfs("/dev", 1 << 20)],
      sees: ["/dev tmpfs rw,nosuid,relatime,size=1024k", "/dev/pts devpts", "/dev/shm tmpfs", "/dev/mqueue mqueue"],
    },
    {
      name: "a tmpfs on /dev/shm takes its place",
      mounts: [tmpfs("/dev/shm", 1 << 20)],
      sees: ["/dev tmpfs", "/dev/pts devpts", "/dev/shm tmpfs rw,nosuid,relatime,size=1024k", "/dev/mqueue mqueue"],
    },
    {
      name: "the size of /dev/shm is that of its one mount",
      mounts: [tmpfs("/dev/shm", 1 << 20)],
      shmSizeBytes: 2 << 20,
      sees: ["/dev tmpfs", "/dev/pts devpts", "/dev/shm tmpfs rw,nosuid,relatime,size=2048k", "/dev/mqueue mqueue"],
    },
    {
      name: "a path that is written another way is the same",
      mounts: [tmpfs("/dev/x/../shm/", 1 << 20), tmpfs("//dev/pts")],
      sees: ["/dev tmpfs", "/dev/pts tmpfs", "/dev/shm tmpfs", "/dev/mqueue mqueue"],
    },
    {
      name: "of two mounts on one path there is the later",
      mounts: [tmpfs("/dev/a", 1 << 20), tmpfs("/dev/a", 2 << 20)],
      sees: [
        "/dev tmpfs",
        "/dev/pts devpts",
        "/dev/shm tmpfs",
        "/dev/mqueue mqueue",
        "/dev/a tmpfs rw,nosuid,relatime,size=2048k",
      ],
    },
    {
      name: "what is mounted on a node's name stays there",
      mounts: [secret("/dev/full"), tmpfs("/dev/stdin"), tmpfs("/dev/fd")],
      sees: [
        "/dev tmpfs",
        "/dev/pts devpts",
        "/dev/shm tmpfs",
        "/dev/mqueue mqueue",
        "/dev/full",
        "/dev/stdin",
        "/dev/fd",
      ],
    },
  ])("$name", async ({ mounts, shmSizeBytes, sees }) => {
    const { stdout, stderr } = await box.sh(
      "grep ' /dev' /proc/mounts | cut -d' ' -f2-4; test -c /dev/null && ls -l /dev/zero > /dev/null && head -c1 /dev/zero | wc -c",
      { mounts, shmSizeBytes },
    );
    const lines = stdout.trim().split("\n");
    expect({ count: lines.length, stderr }).toEqual({ count: sees.length + 1, stderr: "" });
    expect(lines.at(-1)).toBe("1");
    for (const [index, start] of sees.entries()) expect(lines[index]).toMatch(new RegExp(`^${start}( |,|$)`));
  });

  test.each([
    { name: "/proc", mount: tmpfs("/proc") },
    { name: "a directory of /proc", mount: tmpfs("/proc/sys") },
    { name: "/proc by another way", mount: tmpfs("/x/..//proc/./self") },
    {
      name: "the host's files on /dev",
      mount: { kind: "bind", hostPath: "/tmp", target: "/dev/", mode: "rw" } as const,
    },
  ])("$name is refused in words", async ({ mount }) => {
    await expect(box.sh("true", { mounts: [mount] })).rejects.toMatchObject({
      code: "runtime/failed",
      message: expect.stringMatching(/^Cannot mount on "\/(?:proc|dev)/),
    });
  });

  test("a /dev of the image that leads into a directory of the host gets no nodes there", async () => {
    const host = join(box.directory, "host-dev");
    mkdirSync(host);
    const { upper, mount } = box.overlay();
    symlinkSync("/elsewhere", join(upper, "dev"));
    const running = box.sh("true", {
      root: mount,
      mounts: [{ kind: "bind", hostPath: host, target: "/elsewhere", mode: "rw" }],
    });
    await expect(running).rejects.toMatchObject({ code: "runtime/failed" });
    expect(lstatSync(host).nlink).toBe(2);
  });
});
