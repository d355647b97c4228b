import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statfsSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createRuntime } from "./driver.ts";
import { cannotRun, RUNTIME_PATH, Sandbox } from "./testing.ts";

/** `TMPFS_MAGIC` of linux/magic.h. */
const TMPFS = 0x0102_1994;

const hasShm = existsSync("/dev/shm") && statfsSync("/dev/shm").type === TMPFS;
if (!hasShm) console.warn("skipping a tree on a tmpfs: /dev/shm is none");

const reason = cannotRun();
if (reason !== undefined) console.warn(`skipping the runtime's tests: ${reason}`);

describe.skipIf(reason !== undefined)("kiln-runtime", () => {
  let box: Sandbox;
  beforeAll(() => {
    box = new Sandbox();
  });
  afterAll(() => {
    box[Symbol.dispose]();
  });

  test("keeps stdout and stderr apart, and passes on status, argument and environment", async () => {
    const result = await box.run({
      argv: ["/bin/sh", "-c", 'echo "$0 $A $HOME"; echo bad >&2; exit 7', "zero"],
      env: ["PATH=/bin", "A=b"],
    });
    expect(result).toMatchObject({ exitCode: 7, stdout: "zero b /root\n", stderr: "bad\n", oomKilled: false });
    expect(result.wallMs).toBeGreaterThan(0);
    expect(result.peakMemoryBytes).toBeGreaterThan(0);
  });

  test("delivers all of a large output, in order", async () => {
    const { stdout } = await box.sh("seq 1 200000");
    expect(stdout.length).toBe(1288895);
    expect(stdout.endsWith("199999\n200000\n")).toBe(true);
  });

  test("usage is counted over all processes of a step, including those never waited for", async () => {
    const result = await box.sh("(while :; do :; done) & sleep 0.2; exit 0");
    expect(result.exitCode).toBe(0);
    expect(result.cpuMs).toBeGreaterThan(20);
  });

  const isOnDisk = existsSync("/proc/self/io") && statfsSync(tmpdir()).type !== TMPFS;
  if (!isOnDisk) console.warn("not counting reads and writes: the temporary directory is on no disk");

  test.skipIf(!isOnDisk)("what a step reads from and writes to a disk is counted", async () => {
    const layer = join(box.directory, "on-disk");
    mkdirSync(layer);
    const file = join(layer, "file");
    writeFileSync(file, Buffer.alloc(4 << 20, 1));
    // Written to the disk and dropped from memory.
    execFileSync("dd", [`of=${file}`, "oflag=nocache", "conv=notrunc,fdatasync", "count=0", "status=none"]);
    const root = box.overlay([layer, box.base]).mount;
    const { readBytes, writtenBytes, exitCode } = await box.sh("cat /file > /tmp/copy", { root });
    expect(exitCode).toBe(0);
    expect(readBytes).toBeGreaterThanOrEqual(4 << 20);
    expect(writtenBytes).toBeGreaterThanOrEqual(4 << 20);
    expect((await box.sh("true")).writtenBytes).toBe(0);
  });

  test.each([
    { name: "a variable", change: { env: ["PATH=/bin", "TOKEN=hidden\0x"] }, says: 'variable "TOKEN"' },
    { name: "an argument", change: { argv: ["/bin/echo", "hidden\0x"] }, says: "a word of the command" },
  ])("$name with a NUL byte is refused without showing it", async ({ change, says }) => {
    const error = await box.run(change).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "runtime/failed", message: expect.stringContaining(says) });
    expect(String(error)).not.toContain("hidden");
  });

  test("a HOME of the image wins, unless it is empty", async () => {
    expect((await box.sh("echo $HOME", { env: ["HOME=", "PATH=/bin"] })).stdout).toBe("/root\n");
    expect((await box.sh("echo $HOME", { env: ["PATH=/bin", "HOME=/x"] })).stdout).toBe("/x\n");
  });

  test("input is empty, and the output can be opened again by its name, also by a plain user", async () => {
    const user = { uid: 1000, gid: 1000, supplementary: [], home: "/" };
    const { stdout, stderr } = await box.sh("cat; echo out > /dev/stdout; echo err > /dev/stderr", { user });
    expect([stdout, stderr]).toEqual(["out\n", "err\n"]);
  });

  test.each([
    { name: "a command killed by a signal", script: "kill -TERM $$", exitCode: 143 },
    { name: "an exit status of our own", script: "exit 125", exitCode: 125 },
    { name: "a command that leaves children behind", script: "sleep 1000 & exit 3", exitCode: 3 },
    { name: "an orphan that ends first", script: "(sh -c 'true' &) ; sleep 0.05; exit 4", exitCode: 4 },
  ])("$name ends with its status", async ({ script, exitCode }) => {
    expect((await box.sh(script)).exitCode).toBe(exitCode);
  });

  test.each([
    { name: "not found", argv: ["nope"], exitCode: 127, stderr: 'exec: "nope": executable file not found in $PATH\n' },
    { name: "not there", argv: ["/nope"], exitCode: 127, stderr: 'exec: "/nope": No such file or directory\n' },
    {
      name: "not executable",
      argv: ["/etc/passwd"],
      exitCode: 126,
      stderr: 'exec: "/etc/passwd": Permission denied\n',
    },
    { name: "a directory", argv: ["/etc"], exitCode: 126, stderr: 'exec: "/etc": Permission denied\n' },
  ])("a program that is $name is told as a shell would", async ({ argv, exitCode, stderr }) => {
    expect(await box.run({ argv })).toMatchObject({ exitCode, stderr });
  });

  test("the PATH is the container's own", async () => {
    const { upper, mount } = box.overlay();
    mkdirSync(join(upper, "opt"));
    writeFileSync(join(upper, "opt/hello"), "#!/bin/sh\necho hello\n", { mode: 0o755 });
    expect((await box.run({ root: mount, argv: ["hello"], env: ["PATH=/opt:/bin"] })).stdout).toBe("hello\n");
  });

  test("writes go to the upper directory and mount points leave no trace there", async () => {
    const { upper, mount } = box.overlay();
    const result = await box.sh(
      "echo data > /tmp/file; cat /etc/resolv.conf /etc/hosts > /dev/null; ls /proc/1 > /dev/null",
      {
        root: mount,
      },
    );
    expect(result.exitCode).toBe(0);
    expect(readdirSync(upper)).toEqual(["tmp"]);
    expect(readFileSync(join(upper, "tmp/file"), "utf8")).toBe("data\n");
  });

  test("a directory as the root is left as it was, times included", async () => {
    const root = join(box.directory, "plain");
    mkdirSync(join(root, "etc"), { recursive: true });
    mkdirSync(join(root, "bin"));
    writeFileSync(join(root, "bin/sh"), readFileSync("/bin/busybox"), { mode: 0o755 });
    for (const path of [join(root, "etc"), root]) utimesSync(path, 1000, 1000);
    const result = await box.run({
      root: { kind: "directory", path: root, mode: "rw" },
      argv: ["/bin/sh", "-c", "echo x > /bin/made"],
      mounts: [{ kind: "tmpfs", target: "/a/b/c", sizeBytes: undefined }],
    });
    expect(result).toMatchObject({ exitCode: 0, stderr: "" });
    expect(readdirSync(root).toSorted()).toEqual(["bin", "etc"]);
    expect(readdirSync(join(root, "etc"))).toEqual([]);
    expect(readFileSync(join(root, "bin/made"), "utf8")).toBe("x\n");
    expect([statSync(root).mtimeMs, statSync(join(root, "etc")).mtimeMs]).toEqual([1_000_000, 1_000_000]);
  });

  test("a missing working directory is made for the user and stays", async () => {
    const { upper, mount } = box.overlay();
    const user = { uid: 1000, gid: 1001, supplementary: [5], home: "/" };
    const { stdout } = await box.sh("pwd; id -u; id -g; id -G", { root: mount, cwd: "/srv/app", user });
    expect(stdout).toBe("/srv/app\n1000\n1001\n1001 5\n");
    expect(statSync(join(upper, "srv/app"))).toMatchObject({ uid: 1000, gid: 1001, mode: 0o40755 });
  });

  test("resolv.conf, hosts and the host name are generated", async () => {
    const { stdout } = await box.sh(
      "hostname; cat /etc/hosts; cat /etc/resolv.conf; echo x >> /etc/hosts || echo frozen",
      {
        extraHosts: [{ name: "db", address: "10.9.8.7" }],
        network: "none",
      },
    );
    expect(stdout).toContain("buildkitsandbox\n127.0.0.1\tlocalhost buildkitsandbox\n");
    expect(stdout).toContain("10.9.8.7\tdb\n");
    expect(stdout).toContain("nameserver ");
    expect(stdout).toContain("frozen\n");
  });

  test("without a network there is loopback and nothing else", async () => {
    const { stdout } = await box.sh("ls /sys/class/net; ping -c1 -w1 127.0.0.1 > /dev/null && echo up", {
      network: "none",
    });
    expect(stdout).toBe("lo\nup\n");
  });

  test("mounts: bind, a path in a tree, tmpfs and secret, on targets the image lacks", async () => {
    const { upper, mount } = box.overlay();
    const shared = join(box.directory, "shared");
    mkdirSync(join(shared, "sub"), { recursive: true });
    writeFileSync(join(shared, "sub/one"), "1\n");
    symlinkSync("/sub/one", join(shared, "link"));
    const tree = box.overlay([shared]).mount;
    const result = await box.sh(
      [
        "cat /ro/sub/one; echo no > /ro/x || echo refused",
        "echo yes > /cache/written",
        "cat /t/one; echo gone > /t/new && echo thrown-away",
        "cat /file",
        "df /tmpfs | tail -1 | awk '{print $2}'; echo no > /frozen/x || echo empty",
        "cat /run/secrets/key; stat -c '%a %u:%g' /run/secrets/key; echo x > /run/secrets/key || echo frozen",
      ].join("\n"),
      {
        root: mount,
        mounts: [
          { kind: "bind", hostPath: shared, target: "/ro", mode: "ro" },
          { kind: "bind", hostPath: shared, target: "/cache", mode: "rw" },
          { kind: "tree", tree, source: "/sub", target: "/t", mode: "rw" },
          {
            kind: "tree",
            tree: { kind: "directory", path: shared, mode: "ro" },
            source: "/link",
            target: "/file",
            mode: "ro",
          },
          { kind: "tmpfs", target: "/tmpfs", sizeBytes: 4 * 1024 * 1024 },
          { kind: "tmpfs", target: "/frozen", sizeBytes: undefined, mode: "ro" },
          {
            kind: "secret",
            target: "/run/secrets/key",
            data: Buffer.from("s\0cret\n"),
            permissions: 0o440,
            uid: 7,
            gid: 8,
          },
        ],
      },
    );
    expect(result.stdout).toBe("1\nrefused\n1\nthrown-away\n1\n4096\nempty\ns\0cret\n440 7:8\nfrozen\n");
    expect(readFileSync(join(shared, "written"), "utf8")).toBe("yes\n");
    expect(existsSync(join(shared, "sub/new"))).toBe(false);
    expect(readdirSync(upper)).toEqual([]);
  });

  test("a directory that only mounts need leaves nothing", async () => {
    const shared = join(box.directory, "only");
    mkdirSync(join(shared, "sub"), { recursive: true });
    const { upper, mount } = box.overlay();
    const tree = { kind: "directory", path: shared, mode: "ro" } as const;
    const { stdout } = await box.sh("ls /new", {
      root: mount,
      mounts: [
        { kind: "tmpfs", target: "/new/tmpfs", sizeBytes: undefined },
        { kind: "tree", tree, source: "/sub", target: "/new/tree", mode: "ro" },
      ],
    });
    expect([stdout, readdirSync(upper)]).toEqual(["tmpfs\ntree\n", []]);
  });

  test("a Unix socket of the host can be mounted", async () => {
    const path = join(box.directory, "agent.sock");
    const server = createServer().listen(path);
    await once(server, "listening");
    const { stdout } = await box.sh("stat -c %F /run/agent.sock", {
      mounts: [{ kind: "socket", hostPath: path, target: "/run/agent.sock" }],
    });
    server.close();
    expect(stdout).toBe("socket\n");
  });

  test.skipIf(!hasShm)("mount points leave no trace in a tree on a tmpfs, mounted without an overlay", async () => {
    using sandbox = new Sandbox({}, "/dev/shm");
    const before = readdirSync(sandbox.base, { recursive: true, encoding: "utf8" }).toSorted();
    const { exitCode } = await sandbox.run({
      root: { kind: "directory", path: sandbox.base, mode: "rw" },
      mounts: [{ kind: "tmpfs", target: "/a/b/c", sizeBytes: undefined }],
    });
    expect(exitCode).toBe(0);
    expect(readdirSync(sandbox.base, { recursive: true, encoding: "utf8" }).toSorted()).toEqual(before);
  });

  test("a mount point behind a link of the image is found inside the image", async () => {
    const { upper, mount } = box.overlay();
    symlinkSync("/../../../../real", join(upper, "link"));
    mkdirSync(join(upper, "real"));
    const { stdout } = await box.sh("mount | grep -c ' /real/deep '; ls /real", {
      root: mount,
      mounts: [{ kind: "tmpfs", target: "/link/deep", sizeBytes: undefined }],
    });
    expect(stdout).toBe("1\ndeep\n");
    expect(readdirSync(join(upper, "real"))).toEqual([]);
  });

  test("a read-only tree as the root still takes mounts, and no writes", async () => {
    const result = await box.sh("echo x > /tmp/x || echo frozen; mount | grep -c ' /new '", {
      root: { kind: "overlay-ro", lowers: [box.base] },
      mounts: [{ kind: "tmpfs", target: "/new", sizeBytes: undefined }],
    });
    expect(result.stdout).toBe("frozen\n1\n");
  });

  test("an overlay of 120 long-named layers", async () => {
    const lowers = Array.from({ length: 120 }, (_, index) => {
      const path = join(box.directory, "x".repeat(100), `layer-${index}`);
      mkdirSync(path, { recursive: true });
      writeFileSync(join(path, `file-${index}`), "");
      return path;
    });
    const { stdout } = await box.sh("ls / | grep -c file-", { root: box.overlay([...lowers, box.base]).mount });
    expect(stdout).toBe("120\n");
  });

  test("limits are set only when asked for", async () => {
    const { stdout } = await box.sh("ulimit -n; ulimit -c", { ulimits: [{ name: "nofile", soft: 123, hard: 456 }] });
    expect(stdout).toBe("123\n0\n");
  });

  test("an insecure step holds every capability and no filter", async () => {
    const { stdout } = await box.sh("mount -t tmpfs x /tmp && echo mounted; grep Seccomp: /proc/self/status", {
      security: "insecure",
    });
    expect(stdout).toBe("mounted\nSeccomp:\t0\n");
  });

  test("an error of the sandbox names what it was doing, and is not the command's", async () => {
    const missing = box.run({ mounts: [{ kind: "bind", hostPath: "/no/such/path", target: "/x", mode: "ro" }] });
    await expect(missing).rejects.toMatchObject({
      code: "runtime/failed",
      message:
        "Cannot run the command in a sandbox: cannot open /no/such/path to mount it on /x: No such file or directory",
    });
    const onFile = box.run({ mounts: [{ kind: "tmpfs", target: "/etc/passwd", sizeBytes: undefined }] });
    await expect(onFile).rejects.toMatchObject({ code: "runtime/failed" });
    await expect(box.run({ ulimits: [{ name: "nope", soft: 1, hard: 1 }] })).rejects.toThrow(/"nope"/);
    // More than there can be of anything: fs.nr_open is the bound.
    const above = box.run({ ulimits: [{ name: "nofile", soft: 2 ** 40, hard: 2 ** 40 }] });
    await expect(above).rejects.toThrow(/cannot set the limit nofile: Operation not permitted$/);
  });

  test("a missing runtime says how to build it", async () => {
    const other = createRuntime({
      runtimePath: "/no/such/kiln-runtime",
      scratchDirectory: join(box.directory, "scratch2"),
      overlayMarks: "trusted",
      arch: process.arch,
      instance: "test",
      notice: () => {},
    });
    await expect(other.run(box.request({}), new AbortController().signal)).rejects.toMatchObject({
      code: "runtime/missing",
    });
  });

  test("aborting kills every process inside before it rejects", async () => {
    const { upper, mount } = box.overlay();
    const abort = new AbortController();
    const marker = `99${process.pid}`;
    const running = box.run(
      {
        root: mount,
        argv: ["/bin/sh", "-c", `trap '' TERM INT HUP; sleep ${marker} & setsid sleep ${marker} & echo ready; wait`],
        stdio: { kind: "pipes", onOutput: () => abort.abort(new Error("stop")) },
      },
      abort.signal,
    );
    await expect(running).rejects.toThrow("stop");
    expect(processesNamed(marker)).toEqual([]);
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(upper);
  });

  test("a container dies with kiln, even by kill -9", async () => {
    const marker = `98${process.pid}`;
    const script = join(box.directory, "victim.ts");
    writeFileSync(
      script,
      `import { Sandbox } from ${JSON.stringify(join(import.meta.dirname, "testing.ts"))};
       const box = new Sandbox();
       process.stdout.write(box.directory + "\\n");
       await box.sh("sleep ${marker} & setsid sleep ${marker} & echo up; wait", {
         stdio: { kind: "pipes", onOutput: () => process.stdout.write("up\\n") },
       });`,
    );
    // What it leaves behind goes with our own folder.
    const env = { ...process.env, TMPDIR: box.directory };
    const victim = spawn(process.execPath, [script], { stdio: ["ignore", "pipe", "inherit"], env });
    const ended = once(victim, "exit");
    try {
      let text = "";
      for await (const chunk of victim.stdout) {
        text += String(chunk);
        if (text.includes("up\n")) break;
      }
      // "up" may come before the sleeps have been started.
      await expect.poll(() => processesNamed(marker).length, { interval: 10 }).toBeGreaterThan(0);
    } finally {
      victim.kill("SIGKILL");
    }
    await ended;
    // The runtime notices by itself; all there is to wait for is the kernel's own work.
    await expect.poll(() => processesNamed(marker), { interval: 10 }).toEqual([]);
  });

  test("the command sees none of our descriptors and none of our environment", async () => {
    expect((await box.run({ argv: ["env"] })).stdout).toBe("PATH=/bin\nHOME=/root\n");
    // 0, 1, 2 and the directory that ls itself reads.
    expect((await box.run({ argv: ["ls", "/proc/self/fd"] })).stdout).toBe("0\n1\n2\n3\n");
  });

  test("the program is where the tests think it is", () => {
    expect(statSync(RUNTIME_PATH).isFile()).toBe(true);
  });
});

/** Lists processes of the machine with the text on their command line. */
function processesNamed(text: string): string[] {
  return readdirSync("/proc").filter((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/cmdline`, "latin1").includes(`sleep\0${text}`);
    } catch {
      return false; // it ended while we looked
    }
  });
}
