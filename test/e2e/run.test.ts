import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PROJECT, busyboxRoot, has, kiln, missing, mustKiln, temporary } from "./harness.ts";

const why = missing("busybox");
if (why !== undefined) console.warn(`the tests of kiln run are skipped: ${why}`);

describe.skipIf(why !== undefined)("kiln run", { timeout: 60_000 }, () => {
  const folder = temporary();
  const store = join(folder.path, "store");

  beforeAll(() => {
    mustKiln(store, ["import", "--change", "ENV A=image", busyboxRoot(folder.path), "base"]);
    mkdirSync(join(folder.path, "volume"));
    writeFileSync(join(folder.path, "volume/f"), "from outside\n");
  });
  afterAll(() => folder[Symbol.dispose]());

  test("the command's environment is the image's, what docker run adds, and what was asked for", () => {
    const { stdout } = mustKiln(store, ["run", "-e", "B=two words", "--hostname", "box", "base", "env"]);
    expect(stdout.split("\n").filter(Boolean).toSorted()).toEqual([
      "A=image",
      "B=two words",
      "HOME=/root",
      "HOSTNAME=box",
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ]);
  });

  test.skipIf(!has("script"))("a terminal is passed on, and its kind is told", () => {
    const command = `${join(PROJECT, "bin/kiln")} --root ${store} run base sh -c 'test -t 0 && echo "$TERM."'`;
    const { stdout } = spawnSync("script", ["-qec", command, "/dev/null"], { encoding: "utf8" });
    // Without input of its own, script types a NUL, and the terminal shows it.
    expect(stdout.replace("^@", "").trim()).toBe("xterm.");
  });

  // With the caller's own terminal a command could type into the caller's shell (TIOCSTI) or turn its keys off.
  test.skipIf(!has("script"))(
    "the terminal inside is a new one, of the same size, and Ctrl-C is for the command",
    async () => {
      const inside =
        "tty; stty size; stty -echo; trap 'echo stopped; exit 3' INT; echo ready; while :; do sleep 1; done";
      const program = `${join(PROJECT, "bin/kiln")} --root ${store} run base sh -c "${inside.replaceAll("$", "\\$")}"`;
      const command = `stty rows 33 cols 101; ${program}; echo "status $?"; stty -a`;
      const child = spawn("script", ["-qec", command, "/dev/null"], { stdio: ["pipe", "pipe", "inherit"] });
      let stdout = "";
      child.stdout.on("data", (chunk: Buffer) => {
        const wasReady = stdout.includes("ready");
        stdout += chunk.toString();
        if (!wasReady && stdout.includes("ready")) child.stdin.write("\u0003");
      });
      await once(child, "close");
      const lines = stdout.split(/\r?\n/);
      expect(lines).toEqual(expect.arrayContaining(["/dev/pts/0", "33 101", "ready", "stopped", "status 3"]));
      // The command's changes to its terminal did not reach the caller's.
      expect(stdout.slice(stdout.indexOf("status 3"))).toMatch(/[^-]echo\b/);
    },
  );

  test.each([
    { name: "a command's status", command: ["sh", "-c", "exit 42"], status: 42 },
    { name: "a command that is not there", command: ["nothing-of-this-name"], status: 127 },
    { name: "a file that is no program", command: ["/etc/passwd"], status: 126 },
    { name: "a command that a signal ended", command: ["sh", "-c", "kill -9 $$"], status: 137 },
  ])("$name is kiln's own", ({ command, status }) => {
    expect(kiln(store, ["run", "base", ...command]).status).toBe(status);
  });

  test.each([
    {
      name: "with a status of its own",
      script: "trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done",
      status: 3,
    },
    { name: "by the signal", script: "echo up; exec sleep 60", status: 143 },
  ])("a command that is told to stop ends $name, which is kiln's", async ({ script, status }) => {
    const child = spawn(join(PROJECT, "bin/kiln"), ["--root", store, "run", "base", "sh", "-c", script], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const ended = once(child, "close");
    const said = text(child.stderr);
    await once(child.stdout, "data");
    child.kill("SIGTERM");
    const [code] = (await ended) as [number | null];
    expect({ code, said: await said }).toEqual({ code: status, said: "" });
  });

  test.each([
    {
      name: "--read-only",
      flags: ["--read-only", "--tmpfs", "/t"],
      script: "touch /x; touch /t/y && echo made",
      says: /^made\n$/,
    },
    { name: "a tmpfs", flags: ["--tmpfs", "/t:size=1m,mode=750"], script: "stat -c %a /t", says: /^750\n$/ },
    { name: "a limit", flags: ["--ulimit", "nofile=100"], script: "ulimit -n", says: /^100\n$/ },
    { name: "a host", flags: ["--add-host", "db:10.0.0.1"], script: "cat /etc/hosts", says: /^10\.0\.0\.1\tdb$/m },
    { name: "no capability", flags: ["--cap-drop", "ALL"], script: "grep CapBnd /proc/self/status", says: /\t0+\n/ },
    {
      name: "one capability",
      flags: ["--cap-drop=ALL", "--cap-add=cap_net_admin"],
      script: "grep CapEff /proc/self/status",
      says: /\t0+1000\n/,
    },
    {
      name: "no new privileges",
      flags: ["--security-opt", "no-new-privileges"],
      script: "grep NoNewPrivs /proc/self/status",
      says: /\t1\n/,
    },
    {
      name: "flags of docker's",
      flags: ["--rm", "-it", "--init", "--name", "x", "-h", "box"],
      script: "hostname",
      says: /^box\n$/,
    },
  ])("$name reaches the command", ({ flags, script, says }) => {
    expect(kiln(store, ["run", ...flags, "base", "sh", "-c", script]).stdout).toMatch(says);
  });

  test.each([
    { flags: ["-d"], says: /--detach is not the job of kiln run/ },
    { flags: ["-v", "nothere:/d"], says: /would be a volume of docker's/ },
    { flags: ["--pull=never"], image: "nothere", says: /Cannot find image "nothere"/ },
    { flags: ["--pull=sometimes"], image: "base", says: /Cannot use --pull "sometimes"/ },
  ])("$flags is an error of kiln's own", ({ flags, image, says }) => {
    const { status, stderr } = kiln(store, ["run", ...flags, image ?? "base", "true"]);
    expect({ status, told: says.test(stderr) }, stderr).toEqual({ status: 125, told: true });
  });

  const noPasta = missing("pasta") ?? (existsSync("/dev/net/tun") ? undefined : "needs /dev/net/tun");
  if (noPasta !== undefined) console.warn(`the test of published ports is skipped: ${noPasta}`);
  test.skipIf(noPasta !== undefined)("a published port leads to the command's own", async () => {
    const script = "mkdir /w; echo found >/w/f; exec httpd -f -p 80 -h /w";
    const child = spawn(
      join(PROJECT, "bin/kiln"),
      ["--root", store, "run", "-p", "127.0.0.1::80", "base", "sh", "-c", script],
      {
        stdio: ["ignore", "ignore", "pipe"],
      },
    );
    const ended = once(child, "close");
    const [line] = (await once(child.stderr, "data")) as [Buffer];
    const [, port = ""] = /127\.0\.0\.1:(\d+)/.exec(line.toString()) ?? [];
    let body = "";
    for (let attempt = 0; body === "" && attempt < 100; attempt += 1) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other, until the server is up
      body = await fetch(`http://127.0.0.1:${port}/f`).then(
        (answer) => answer.text(),
        () => "",
      );
      // oxlint-disable-next-line no-await-in-loop
      if (body === "") await pause(100);
    }
    child.kill("SIGINT");
    const [status] = (await ended) as [number | null];
    expect({ body, status }).toEqual({ body: "found\n", status: 130 });
  });

  test("Ctrl-C is the command's, and so is its status", async () => {
    const child = spawn(
      join(PROJECT, "bin/kiln"),
      ["--root", store, "run", "base", "sh", "-c", "echo up; exec sleep 60"],
      {
        stdio: ["ignore", "pipe", "ignore"],
      },
    );
    const ended = once(child, "close");
    await once(child.stdout, "data");
    child.kill("SIGINT");
    expect(await ended).toEqual([130, null]);
  });

  test("standard input, a folder of this machine and another directory and user reach the command", () => {
    const flags = ["-v", `${join(folder.path, "volume")}:/v:ro`, "-w", "/v", "-u", "12:34"];
    const script = "cat; cat f; id -u; id -g; touch x 2>/dev/null || echo read-only";
    const { stdout } = kiln(store, ["run", ...flags, "base", "sh", "-c", script], { input: "typed\n" });
    expect(stdout).toBe("typed\nfrom outside\n12\n34\nread-only\n");
  });

  test("a file behind a standard stream is neither changed nor opened anew by the command", () => {
    const paths = ["in", "out", "err"].map((name) => join(folder.path, name));
    writeFileSync(paths[0] ?? "", "input\n");
    const [input, output, errors] = paths.map((path) => openSync(path, path.endsWith("in") ? "r" : "w", 0o600));
    const script =
      "cat; for f in stdin stdout stderr; do chmod 777 /dev/$f; chown 1:1 /dev/$f; touch -d '2001-01-01 00:00' /dev/$f; : > /dev/$f; done; echo end; echo said >&2";
    const { status } = spawnSync(join(PROJECT, "bin/kiln"), ["--root", store, "run", "base", "sh", "-c", script], {
      stdio: [input, output, errors],
    });
    for (const fd of [input, output, errors]) if (fd !== undefined) closeSync(fd);
    expect(status).toBe(0);
    expect(paths.map((path) => statSync(path)).map(({ mode, uid, gid }) => [mode & 0o777, uid, gid])).toEqual([
      [0o644, 0, 0],
      [0o600, 0, 0],
      [0o600, 0, 0],
    ]);
    expect(paths.map((path) => readFileSync(path, "utf8"))).toEqual(["input\n", "input\nend\n", "said\n"]);
    expect(statSync(paths[0] ?? "").mtimeMs).toBeGreaterThan(Date.UTC(2002));
  });

  test.each([
    {
      name: "much of it",
      script: "dd if=/dev/zero bs=65536 count=200 2>/dev/null | tr '\\0' x",
      pipe: "wc -c",
      says: "13107200\n",
    },
    { name: "more of it than anybody reads", script: "yes", pipe: "head -n 2", says: "y\ny\n" },
    {
      name: "two streams in one, in order",
      script: "for i in 1 2 3; do echo o$i; echo e$i >&2; done",
      pipe: "tr '\\n' ' '",
      says: "o1 e1 o2 e2 o3 e3 ",
    },
    { name: "input that is passed through", script: "md5sum", pipe: "cut -c1-8", says: "68b329da\n" },
  ])("output into a pipe: $name", ({ script, pipe, says }) => {
    const command = `echo | "$0" --root "$1" run base sh -c "$2" 2>&1 | ${pipe}`;
    const { stdout, stderr } = spawnSync("sh", ["-c", command, join(PROJECT, "bin/kiln"), store, script], {
      encoding: "utf8",
    });
    expect({ stdout, stderr }).toEqual({ stdout: says, stderr: "" });
  });
});
