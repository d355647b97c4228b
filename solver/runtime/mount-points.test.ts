import { lstatSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RunMount } from "../ports.ts";
import { cannotRun, Sandbox } from "./testing.ts";

const reason = cannotRun();
if (reason !== undefined) console.warn(`skipping the tests of mount points: ${reason}`);

const tmpfs = (target: string): RunMount => ({ kind: "tmpfs", target, sizeBytes: undefined });
const secret = (target: string): RunMount => ({
  kind: "secret",
  target,
  data: Buffer.from("hush\n"),
  permissions: 0o444,
  uid: 0,
  gid: 0,
});

describe.skipIf(reason !== undefined)("a mount point", () => {
  let box: Sandbox;
  beforeAll(() => {
    box = new Sandbox();
    mkdirSync(join(box.base, "deep/a"), { recursive: true });
    mkdirSync(join(box.base, "private"), { mode: 0o700 });
    for (const [link, text] of [
      ["etc/resolv.conf", "/run/systemd/resolve/stub"],
      ["etc/hosts", "../var/x/hosts"],
      ["d", "/data/x"],
      ["deep/a/l", "x/y"],
      ["deep/up", "../../../../over/z/"],
      ["chain", "d/more"],
      ["loop", "pool"],
      ["pool", "/loop/x"],
    ] as const) {
      symlinkSync(text, join(box.base, link));
    }
  });
  afterAll(() => {
    box[Symbol.dispose]();
  });

  test.each([
    { name: "resolv.conf and hosts", mounts: [], at: ["/run/systemd/resolve/stub", "/var/x/hosts"] },
    { name: "a tmpfs", mounts: [tmpfs("/d/y")], at: ["/data/x/y"] },
    { name: "a tmpfs on the link itself", mounts: [tmpfs("/d")], at: ["/data/x"] },
    { name: "a secret", mounts: [secret("/d/s/key")], at: ["/data/x/s/key"] },
    { name: "a secret on the link itself", mounts: [secret("/d")], at: ["/data/x"] },
    { name: "through a relative link", mounts: [tmpfs("/deep/a/l/z")], at: ["/deep/a/x/y/z"] },
    { name: "through a link that would lead above the root", mounts: [tmpfs("/deep/up/q")], at: ["/over/z/q"] },
    { name: "through two links", mounts: [tmpfs("/chain/q")], at: ["/data/x/more/q"] },
  ])("behind a link that leads nowhere is made where it leads: $name", async ({ mounts, at }) => {
    const { upper, mount } = box.overlay();
    const { stdout, stderr } = await box.sh("cut -d' ' -f2 /proc/mounts; head -n 1 /etc/hosts", {
      root: mount,
      mounts,
    });
    expect(stderr).toBe("");
    expect(stdout.split("\n")).toEqual(expect.arrayContaining([...at, "127.0.0.1\tlocalhost buildkitsandbox"]));
    for (const path of at) expect(() => lstatSync(join(upper, path))).toThrow(/ENOENT|ENOTDIR/);
  });

  test("behind a link that leads nowhere takes a file, a directory and a socket of the host's", async () => {
    const host = join(box.directory, "host");
    mkdirSync(host);
    writeFileSync(join(host, "f"), "one\n");
    const { upper, mount } = box.overlay();
    const { stdout } = await box.sh("cat /data/x/t/f /data/x/c/f /data/x/f", {
      root: mount,
      mounts: [
        { kind: "tree", tree: { kind: "directory", path: host, mode: "ro" }, source: "/", target: "/d/t", mode: "ro" },
        { kind: "bind", hostPath: host, target: "/d/c", mode: "rw" },
        { kind: "tree", tree: { kind: "directory", path: host, mode: "ro" }, source: "/f", target: "/d/f", mode: "ro" },
      ],
    });
    expect(stdout).toBe("one\none\none\n");
    expect(readdirSync(upper)).toEqual([]);
    expect(readdirSync(host)).toEqual(["f"]);
  });

  test("of which the command has kept something stays", async () => {
    const { upper, mount } = box.overlay();
    await box.sh("echo x > /data/x/kept", { root: mount, mounts: [tmpfs("/d/y")] });
    expect(readdirSync(join(upper, "data/x"))).toEqual(["kept"]);
  });

  test("behind links that lead to each other is an error", async () => {
    await expect(box.sh("true", { mounts: [tmpfs("/loop/x")] })).rejects.toMatchObject({
      code: "runtime/failed",
      message: expect.stringMatching(/symbolic links/),
    });
  });

  test("a working directory behind a link that leads nowhere is made for its user", async () => {
    const { upper, mount } = box.overlay();
    const user = { uid: 7, gid: 8, supplementary: [], home: "/" };
    expect((await box.sh("pwd -P", { root: mount, cwd: "/d/w", user })).stdout).toBe("/data/x/w\n");
    expect(lstatSync(join(upper, "data/x/w"))).toMatchObject({ uid: 7, gid: 8 });
  });

  test.each([
    { name: "a directory that is there", target: "/private", mode: "700" },
    { name: "one that is made for it", target: "/made", mode: "1777" },
    { name: "one that is made behind a link", target: "/d/y", mode: "1777" },
    { name: "one of the system", target: "/sys/firmware", mode: "755" },
  ])("under a tmpfs gives it its mode: $name", async ({ target, mode }) => {
    const { stdout } = await box.sh(`stat -c %a ${target}`, {
      mounts: [tmpfs(target)],
      security: target.startsWith("/sys") ? "insecure" : "sandbox",
    });
    expect(stdout).toBe(`${mode}\n`);
  });
});
