import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cannotRun, RUNTIME_PATH, Sandbox } from "./testing.ts";

const reason = cannotRun();
if (reason !== undefined) console.warn(`skipping the escape attempts: ${reason}`);

/*
 * What a hostile Dockerfile or base image might try. Every attempt must fail; the class of vulnerability it stands for
 * is in its name.
 */
/** A directory of the host's that no image has. */
const OUTSIDE = import.meta.dirname;

describe.skipIf(reason !== undefined)("an escape attempt fails:", () => {
  let box: Sandbox;
  beforeAll(() => {
    box = new Sandbox();
  });
  afterAll(() => {
    box[Symbol.dispose]();
  });

  test.each([
    { name: "mounting a file system (CVE-2022-0185)", script: "mount -t tmpfs x /tmp" },
    { name: "mounting a disk by its node", script: "mknod /tmp/disk b 254 0 && mount /tmp/disk /mnt" },
    { name: "remounting /proc/sys writable", script: "mount -o remount,rw /proc/sys" },
    { name: "unmounting a mask", script: "umount /proc/keys" },
    { name: "a new user namespace (CVE-2022-0492)", script: "unshare -U true" },
    { name: "a new mount namespace", script: "unshare -m true" },
    { name: "entering PID 1's namespaces", script: "nsenter -t 1 -m true" },
    { name: "setting core_pattern (CVE-2022-0811)", script: "echo '|/tmp/x' > /proc/sys/kernel/core_pattern" },
    { name: "a sysrq", script: "echo h > /proc/sysrq-trigger" },
    { name: "uevent_helper (release_agent class)", script: "echo /tmp/x > /sys/kernel/uevent_helper" },
    { name: "a cgroup's release_agent (CVE-2022-0492)", script: "mount -t cgroup -o memory x /tmp" },
    { name: "loading a kernel module", script: "insmod /bin/busybox" },
    { name: "setting the host's name", script: "hostname owned" },
    { name: "setting the clock", script: '! date -s 2000-01-01 2>&1 | grep -q "can\'t set"' },
    { name: "reading kernel messages", script: "dmesg | grep ." },
    {
      name: "reading the machine's packets",
      script: '! arping -c1 -w1 -I lo 127.0.0.1 2>&1 | grep -q "not permitted"',
    },
    { name: "PID 1's memory map (CVE-2016-9962)", script: "cat /proc/1/maps | grep ." },
    {
      name: "PID 1's open files (CVE-2016-9962)",
      script: "for fd in /proc/1/fd/*; do readlink $fd && exit 0; cat $fd && exit 0; done; exit 1",
    },
    { name: "PID 1's root (CVE-2024-21626)", script: "ls /proc/1/root/" },
    { name: "PID 1's working directory (CVE-2024-21626)", script: "ls /proc/1/cwd/" },
    { name: "PID 1's program (CVE-2019-5736)", script: "cat /proc/1/exe" },
    {
      name: "a leaked descriptor as working directory (CVE-2024-21626)",
      script: `ls -d /proc/self/fd/8/../../..${OUTSIDE}`,
    },
    { name: "killing PID 1", script: "kill -9 1; sleep 0.05; kill -0 1 && exit 1" },
    { name: "raw access to kernel memory", script: "mknod /tmp/mem c 1 1 && head -c1 /tmp/mem" },
    { name: "opening a block device made in /dev", script: "mknod /dev/disk b 254 0 && head -c1 /dev/disk" },
    {
      name: "opening a block device made in /dev/shm",
      script: "mknod /dev/shm/disk b 254 0 && head -c1 /dev/shm/disk",
    },
    { name: "changing a node of the host's through its bind", script: "mount -o remount,dev / && true" },
    { name: "the kernel's core image", script: "head -c1 /proc/kcore | grep ." },
    {
      name: "escaping a chroot upwards",
      script: `mkdir /tmp/c && cp /bin/busybox /tmp/c/busybox && chroot /tmp/c /busybox ls -d /../../..${OUTSIDE}`,
    },
    { name: "an immutable flag", script: "chattr +i /tmp" },
    { name: "network administration", script: "ip link add dummy9 type dummy" },
    { name: "a swap file", script: "dd if=/dev/zero of=/s bs=4096 count=10; mkswap /s; swapon /s" },
    { name: "rebooting", script: "reboot -f" },
  ])("$name", async ({ script }) => {
    const { exitCode } = await box.sh(script);
    expect(exitCode).not.toBe(0);
  });

  test("a device node of the image cannot be opened (CVE-2018-15664 class: hostile layers)", async () => {
    const { upper, mount } = box.overlay();
    const made = await box.sh("mknod /disk b 254 0; mknod /null c 1 3", { root: mount });
    expect(made.exitCode).toBe(0);
    expect(statSync(join(upper, "disk")).isBlockDevice()).toBe(true);
    const opened = await box.sh("head -c1 /disk", { root: box.overlay([upper, box.base]).mount });
    expect(opened.exitCode).not.toBe(0);
  });

  test("a script that names /proc/self/exe as its interpreter reaches nothing writable (CVE-2019-5736)", async () => {
    const before = statSync(RUNTIME_PATH);
    const { upper, mount } = box.overlay();
    writeFileSync(join(upper, "trap"), "#!/proc/self/exe\n", { mode: 0o755 });
    const result = await box.sh(
      "/trap & for i in 1 2 3 4 5 6 7 8; do for p in /proc/[0-9]*/exe; do chmod 4777 $p; echo x >> $p; done; done; wait",
      { root: mount },
    );
    expect(result.exitCode).not.toBe(125);
    await box.run({ argv: ["/trap"], root: box.overlay([upper, box.base]).mount });
    const after = statSync(RUNTIME_PATH);
    expect([after.mode, after.size, after.mtimeMs, after.ctimeMs]).toEqual([
      before.mode,
      before.size,
      before.mtimeMs,
      before.ctimeMs,
    ]);
  });

  test("/proc as a link of the image does not move procfs elsewhere (CVE-2019-19921, CVE-2023-27561)", async () => {
    const image = join(box.directory, "linked-proc");
    mkdirSync(image);
    symlinkSync("/tmp", join(image, "proc"));
    const running = box.sh("echo ran", { root: box.overlay([image, box.base]).mount });
    await expect(running).rejects.toMatchObject({ code: "runtime/failed" });
  });

  test.each([
    { name: "upwards", link: "../../../../../../../../target" },
    { name: "absolutely", link: "/target" },
    { name: "through /proc", link: "/proc/self/root/target" },
    { name: "through PID 1", link: "/proc/1/root/target" },
  ])("a mount target that leads $name stays in the image (CVE-2021-30465)", async ({ link }) => {
    const host = join(box.directory, "target");
    mkdirSync(host, { recursive: true });
    const { upper, mount } = box.overlay();
    symlinkSync(link.replace("target", host.slice(1)), join(upper, "link"));
    const running = box.sh("true", {
      root: mount,
      mounts: [{ kind: "secret", target: "/link/planted", data: Buffer.from("x"), permissions: 0o400, uid: 0, gid: 0 }],
    });
    await running.catch(() => {}); // refusing is as good as staying inside
    expect(readdirSync(host)).toEqual([]);
    expect(existsSync(join(host, "planted"))).toBe(false);
  });

  test.each([
    { name: "a descriptor", link: "/proc/self/fd/4" },
    { name: "a descriptor of PID 1", link: "/proc/1/fd/4" },
    { name: "PID 1's own directory", link: "/proc/1/cwd" },
    { name: "its own root", link: "/proc/self/root" },
  ])("a working directory that is a link to $name is refused (CVE-2024-21626)", async ({ link }) => {
    const { upper, mount } = box.overlay();
    symlinkSync(link, join(upper, "link"));
    await expect(box.run({ root: mount, cwd: "/link", argv: ["/bin/pwd"] })).rejects.toMatchObject({
      code: "runtime/failed",
      message: expect.stringMatching(/working directory/),
    });
  });

  test("a volume's directory that turns into a link while the step starts leads nowhere (CVE-2024-21626, by a race)", async () => {
    const volume = join(box.directory, "volume");
    mkdirSync(join(volume, "here"), { recursive: true });
    const stop = new AbortController();
    const mounts = [{ kind: "bind", hostPath: volume, target: "/v", mode: "rw" }] as const;
    const swapping = box
      .run(
        {
          argv: [
            "/bin/sh",
            "-c",
            "mkdir -p /v/x; while :; do for n in 4 5 6 7 8 9; do rm -rf /v/here; ln -s /proc/self/fd/$n /v/here; rm /v/here; mkdir /v/here; done; done",
          ],
          mounts,
        },
        stop.signal,
      )
      .catch(() => undefined);
    const seen = new Set<string>();
    for (let round = 0; round < 40; round++) {
      // oxlint-disable-next-line no-await-in-loop
      const { stdout } = await box
        .run({ mounts, cwd: "/v/here", argv: ["/bin/sh", "-c", "pwd -P"] })
        .catch(() => ({ stdout: "" }));
      seen.add(stdout.trim());
    }
    stop.abort();
    await swapping;
    // In it, or refused, or in it when it has just been removed and has no path.
    for (const one of seen) expect(one).toMatch(/^(?:\/v\/here)?$/);
  });

  test("a mount source that leads out of its tree stays in it (CVE-2024-23651)", async () => {
    const tree = join(box.directory, "hostile-tree");
    mkdirSync(tree);
    writeFileSync(join(box.directory, "host-secret"), "secret");
    symlinkSync(join(box.directory, "host-secret"), join(tree, "out"));
    const running = box.sh("cat /in", {
      mounts: [
        {
          kind: "tree",
          tree: { kind: "directory", path: tree, mode: "ro" },
          source: "/out",
          target: "/in",
          mode: "ro",
        },
      ],
    });
    await expect(running).rejects.toThrow(/cannot find \/out/);
  });

  test("a stub that the command replaced by a link is not followed when it is removed (CVE-2024-23652)", async () => {
    const root = join(box.directory, "swap");
    mkdirSync(join(root, "bin"), { recursive: true });
    writeFileSync(join(root, "bin/sh"), readFileSync("/bin/busybox"), { mode: 0o755 });
    const host = join(box.directory, "keep");
    mkdirSync(join(host, "stub"), { recursive: true });
    const result = await box.run({
      root: { kind: "directory", path: root, mode: "rw" },
      argv: ["/bin/sh", "-c", `mv /a /b; ln -s ${host} /a`],
      mounts: [{ kind: "tmpfs", target: "/a/stub", sizeBytes: undefined }],
    });
    expect(result.exitCode).toBe(0);
    expect(existsSync(join(host, "stub"))).toBe(true);
  });

  test("nothing can be written through a read-only bind, by chmod, link or truncation either", async () => {
    const host = join(box.directory, "frozen");
    mkdirSync(host);
    writeFileSync(join(host, "file"), "same");
    chmodSync(join(host, "file"), 0o644);
    await box.sh("cd /ro; chmod 777 file; chown 1:1 file; > file; rm file; ln file x; mv file y; touch z", {
      mounts: [{ kind: "bind", hostPath: host, target: "/ro", mode: "ro" }],
    });
    expect(readdirSync(host)).toEqual(["file"]);
    expect(readFileSync(join(host, "file"), "utf8")).toBe("same");
    expect(statSync(join(host, "file")).mode & 0o777).toBe(0o644);
  });

  test("a plain user gets no capability, and a setuid program no more than the bounding set", async () => {
    const user = { uid: 1000, gid: 1000, supplementary: [], home: "/" };
    const { stdout } = await box.sh("grep -E 'Cap(Inh|Prm|Eff|Amb)' /proc/self/status | cut -f2 | sort -u", { user });
    expect(stdout).toBe("0000000000000000\n");
    const { upper, mount } = box.overlay();
    await box.sh(
      "mkdir /suid; cp /bin/busybox /suid/su && chmod 4755 /suid/su; echo root::0:0::/:/bin/sh > /etc/passwd",
      { root: mount },
    );
    const raised = await box.sh("/suid/su -c 'grep CapEff /proc/self/status | cut -f2'", {
      user,
      root: box.overlay([upper, box.base]).mount,
    });
    expect(raised.stdout).toBe("00000000a80425fb\n");
  });

  test("the state seen from inside is the container engines' default", async () => {
    const { stdout } = await box.sh(
      "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; ls /proc/acpi /sys/firmware",
    );
    expect(stdout).toContain("CapInh:\t0000000000000000");
    expect(stdout).toContain("CapPrm:\t00000000a80425fb");
    expect(stdout).toContain("CapEff:\t00000000a80425fb");
    expect(stdout).toContain("CapBnd:\t00000000a80425fb");
    expect(stdout).toContain("CapAmb:\t0000000000000000");
    expect(stdout).toContain("NoNewPrivs:\t0");
    expect(stdout).toContain("Seccomp:\t2");
    expect(stdout).not.toMatch(/FADT|acpi_/i);
  });

  test("in a user namespace of its own a step works as before, but its root has no rights on the host", async () => {
    using own = new Sandbox({
      userNamespace: { uidMap: "0 0 4294967295", gidMap: "0 0 4294967295", setgroups: "allow" },
    });
    const { upper, mount } = own.overlay();
    const { stdout, exitCode } = await own.sh(
      "id -u; echo x > /tmp/x && chown 12:34 /tmp/x && chmod 4755 /tmp/x; mknod /dev0 c 1 3 || echo refused; ls /sys/kernel > /dev/null && ls /dev/pts",
      { root: mount },
    );
    expect({ stdout, exitCode }).toEqual({ stdout: "0\nrefused\nptmx\n", exitCode: 0 });
    expect(statSync(join(upper, "tmp/x"))).toMatchObject({ uid: 12, gid: 34, mode: 0o104755 });
  });
});
