import { spawnSync } from "node:child_process";
import { statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AT_FDCWD } from "../../lib/native/constants.ts";
import { locateNative } from "../../lib/native/locate.ts";
import { cannotBlock, EACCES, ENOSYS, EPERM, withBlocked } from "../support/blocked-calls.ts";
import { PROJECT, busyboxRoot, missing, mustKiln, temporary } from "./harness.ts";
import { contextFor, headersOf } from "./rows.ts";

const why = missing("busybox", "unshare", "setpriv") ?? cannotBlock();
if (why !== undefined) console.warn(`the tests of what machines refuse are skipped: ${why}`);

/** Somewhere that refuses something, and what kiln makes of it. */
interface Case {
  readonly name: string;
  /** Command that starts kiln. */
  readonly prefix: readonly string[];
  /** Isolation in `kiln doctor --json`. */
  readonly isolation: string;
  readonly without: readonly string[];
  readonly causes: readonly RegExp[];
  /** Warning of the build. */
  readonly warning?: RegExp;
}

/** Hides a part of /proc, and any other that the machine may have mounted elsewhere. */
const HIDE = `mount -t tmpfs t /proc/irq && for p in $(awk '$3 == "proc" && $2 != "/proc" { print $2 }' /proc/mounts); do umount -l $p; done`;

const NO_ADMIN = ["setpriv", "--bounding-set=-sys_admin"];

/** A mount namespace of the test's own, prepared by a shell script. */
const inMounts = (script: string): string[] => ["unshare", "--mount", "sh", "-c", `${script} && exec "$@"`, "sh"];

/** Files that grant ids to users, for the helpers that map them: covered, so that the machine's own stay as they are. */
const GRANT =
  "f=$(mktemp) && echo root:0:65536 > $f && mount --bind $f /etc/subuid && mount --bind $f /etc/subgid && rm $f";

/** A user namespace of the test's own with many ids, in which one setting of the kernel is 0. */
const withSetting = (name: string): string[] => [
  ...inMounts(GRANT),
  ...["unshare", "--user", "--map-users=0,0,65536", "--map-groups=0,0,65536", "--setuid=0", "--setgid=0", "--mount"],
  ...["sh", "-c", `echo 0 > /proc/sys/user/${name} && exec "$@"`, "sh"],
];

const CASES: readonly Case[] = [
  { name: "clone3", prefix: withBlocked({ clone3: ENOSYS }), isolation: "root", without: [], causes: [] },
  {
    name: "sethostname",
    prefix: withBlocked({ sethostname: EPERM }),
    isolation: "root",
    without: ["hostname"],
    causes: [/^seccomp of this container blocks sethostname$/],
    warning: /they have its host name/,
  },
  {
    name: "pivot_root",
    prefix: withBlocked({ pivot_root: EPERM }),
    isolation: "root",
    without: ["pivot_root"],
    causes: [/^seccomp of this container blocks pivot_root$/],
  },
  {
    name: "a new /proc, since parts of it are hidden, and the host name",
    prefix: [...inMounts(HIDE), ...withBlocked({ sethostname: EPERM }), ...NO_ADMIN],
    isolation: "subordinate-ids",
    without: ["hostname", "proc"],
    causes: [/^seccomp of this container blocks sethostname$/, /^parts of \/proc are hidden in this container/],
    warning: /this container's own \/proc/,
  },
  ...["uts", "ipc", "cgroup"].map((kind) => ({
    name: `${kind} namespaces`,
    prefix: withSetting(`max_${kind}_namespaces`),
    isolation: "subordinate-ids",
    without: { uts: ["uts", "hostname"], ipc: ["uts", "hostname", "ipc", "mqueue"], cgroup: ["cgroup"] }[kind] ?? [],
    causes: [new RegExp(`^user.max_${kind}_namespaces is 0$`)],
  })),
  ...[["--map-root-user"], ["--map-root-user", "--pid", "--fork"], ["--map-current-user", "--keep-caps"]].map(
    (flags) => ({
      name: `mounts of the machine, but not of its own, to \`unshare --user ${flags.join(" ")}\``,
      prefix: ["unshare", "--user", ...flags],
      isolation: "single-id",
      without: [],
      causes: [],
    }),
  ),
  ...[
    { lacks: "setpcap", isolation: "subordinate-ids" },
    { lacks: "dac_override", isolation: "subordinate-ids" },
    { lacks: "setuid,-setgid", isolation: "single-id" },
  ].map(({ lacks, isolation }) => ({
    name: `root the capability ${lacks}, though not SYS_ADMIN`,
    prefix: [...inMounts(GRANT), "setpriv", `--bounding-set=-${lacks}`],
    isolation,
    without: [],
    causes: [],
  })),
  {
    name: "root all capabilities but those of chroot",
    prefix: ["setpriv", "--bounding-set=-all,+sys_chroot,+chown,+dac_override,+fowner,+setuid,+setgid,+mknod"],
    isolation: "chroot",
    without: [],
    causes: [/^this root lacks the capability SETFCAP/],
  },
  {
    name: "a /sys with cgroups",
    prefix: inMounts("mount -t tmpfs t /sys"),
    isolation: "root",
    without: [],
    causes: [],
  },
  {
    name: "devices but one",
    prefix: [
      ...inMounts("mount -t tmpfs t /dev && mknod -m 666 /dev/null c 1 3"),
      "unshare",
      "--user",
      "--map-root-user",
    ],
    isolation: "single-id",
    without: [],
    causes: [],
  },
  {
    name: "mounts",
    prefix: withBlocked({ mount: EPERM, fsopen: EPERM, move_mount: EPERM }),
    isolation: "chroot",
    without: [],
    causes: [/^seccomp of this container blocks mount$/],
    warning: /neither namespaces nor mounts are allowed here/,
  },
  {
    name: "mounts in a user namespace that may be made",
    prefix: [...withBlocked({ mount: EACCES }), ...NO_ADMIN],
    isolation: "chroot",
    without: [],
    causes: [/^seccomp of this container blocks/],
    warning: /neither namespaces nor mounts are allowed here/,
  },
];

const DOCKERFILE = [
  "FROM base",
  "COPY --chown=12:13 f /copied",
  "RUN mkdir /d && echo x > /d/f && chown 33:44 /d/f && chmod 4755 /d/f && rm /etc/group && test -c /dev/null",
  "RUN --mount=type=cache,target=/c --mount=type=tmpfs,target=/t touch /c/x /t/x && ! test -e /etc/group",
  "USER 1000:1001",
  "RUN test $(id -u) = 1000 && touch /tmp/mine && ! touch /etc/not-mine 2>/dev/null",
  "",
].join("\n");

/** Paths and modes of what is in a folder. */
function modesIn(path: string): readonly string[] {
  const found = spawnSync("find", [path, "-mindepth", "1", "-printf", "%P %m\n"], { encoding: "utf8" });
  return found.stdout.trim().split("\n").toSorted();
}

describe.skipIf(why !== undefined)("where a machine refuses", { timeout: 120_000 }, () => {
  const folder = temporary();
  const tar = join(folder.path, "busybox.tar");
  let expected: readonly string[] = [];
  const context = (): string => contextFor(folder.path, { Dockerfile: DOCKERFILE, f: "hi\n" });
  const build = (out: string): string[] => ["build", "--progress", "plain", "-o", `type=tar,dest=${out}`, context()];

  beforeAll(() => {
    if (why !== undefined) return;
    spawnSync("tar", ["-cf", tar, "--owner=0", "--group=0", "-C", busyboxRoot(folder.path), "."]);
    const store = join(folder.path, "root");
    mustKiln(store, ["import", tar, "base"]);
    mustKiln(store, build(join(folder.path, "root.tar")));
    expected = headersOf(join(folder.path, "root.tar"));
  });
  afterAll(() => folder[Symbol.dispose]());

  test.each(CASES)("$name, steps do without, the image is root's and doctor says why", (one) => {
    const store = join(folder.path, `store-${CASES.indexOf(one)}`);
    const run = (
      ...args: string[]
    ): { readonly status: number | null; readonly stdout: string; readonly stderr: string } => {
      const [program = "", ...rest] = [...one.prefix, join(PROJECT, "bin/kiln"), "--root", store, ...args];
      return spawnSync(program, rest, { encoding: "utf8", cwd: "/", timeout: 100_000, killSignal: "SIGKILL" });
    };
    expect(run("import", tar, "base")).toMatchObject({ status: 0 });
    const out = join(folder.path, `${CASES.indexOf(one)}.tar`);
    const { status, stderr } = run(...build(out));
    expect(stderr).not.toMatch(/ERROR|error\[/);
    expect(status).toBe(0);
    expect(headersOf(out)).toEqual(expected);
    if (one.warning !== undefined) expect(stderr.match(new RegExp(one.warning, "g"))).toHaveLength(1);
    const report = JSON.parse(run("doctor", "--json").stdout) as {
      readonly causes: readonly { readonly cause: string; readonly fixes: Readonly<Record<string, string>> }[];
    };
    expect(report).toMatchObject({ isUsable: true, isolation: one.isolation, without: one.without });
    for (const cause of one.causes)
      expect(report.causes.map((found) => found.cause).join("\n")).toMatch(new RegExp(cause, "m"));
    for (const { fixes } of report.causes)
      expect(Object.keys(fixes)).toEqual(expect.arrayContaining(["docker", "podman", "kubernetes"]));
    if (one.causes.length === 0) expect(report.causes).toEqual([]);
  });

  test("where nothing works a RUN is one clear error, and COPY works", () => {
    const store = join(folder.path, "nothing");
    const prefix = [
      ...withSetting("max_user_namespaces"),
      "setpriv",
      "--reuid=12345",
      "--bounding-set=-all",
      "--no-new-privs",
    ];
    spawnSync("sh", ["-c", 'mkdir "$0" && chown 12345 "$0" && chmod a+rx "$1"', store, folder.path]);
    const run = (
      ...args: string[]
    ): { readonly status: number | null; readonly stdout: string; readonly stderr: string } => {
      const [program = "", ...rest] = [...prefix, join(PROJECT, "bin/kiln"), "--root", store, ...args];
      return spawnSync(program, rest, { encoding: "utf8", cwd: "/", timeout: 100_000, killSignal: "SIGKILL" });
    };
    expect(run("import", tar, "base")).toMatchObject({ status: 0 });
    const copied = contextFor(folder.path, {
      Dockerfile: "FROM base\nCOPY --chown=12:13 f /f\nCOPY <<E /g\nx\nE\n",
      f: "",
    });
    expect(run("build", copied)).toMatchObject({ status: 0 });
    // Modes that shut out whoever is not root, owners, a device: all of it comes back as root has it.
    const odd = join(folder.path, "odd.tar");
    const make =
      'cd "$0" && mkdir -p ro/in none etc && echo x > ro/in/x && echo y > etc/shadow && chown 5:42 etc/shadow && chmod 0 etc/shadow none && ' +
      'chmod 0555 ro/in ro && ln -s in ro/../l && chown -h 7:8 l && mkfifo p && mknod n c 1 3 && tar --numeric-owner -cf "$1" .';
    expect(spawnSync("sh", ["-c", make, contextFor(folder.path, {}), odd]).status).toBe(0);
    const inside = contextFor(folder.path, {
      Dockerfile: "FROM odd\nCOPY --chown=33 --chmod=0500 f /ro/in/f\n",
      f: "x",
    });
    const results = [join(folder.path, "odd-root.tar"), join(store, "odd.tar")];
    for (const [i, out] of results.entries()) {
      const as = i === 0 ? (...args: string[]) => mustKiln(join(folder.path, "root"), args) : run;
      as("import", odd, "odd");
      expect(as("build", "-o", `type=tar,dest=${out}`, inside)).toMatchObject({ status: 0 });
    }
    expect(headersOf(results[1] ?? "")).toEqual(headersOf(results[0] ?? ""));
    // A folder of the user's own has the modes, and none of the records.
    const folders = [join(folder.path, "local-root"), join(store, "local")];
    for (const [i, out] of folders.entries()) {
      const as = i === 0 ? (...args: string[]) => mustKiln(join(folder.path, "root"), args) : run;
      expect(as("build", "-o", `type=local,dest=${out}`, inside)).toMatchObject({ status: 0 });
    }
    const [whole = [], restricted] = folders.map(modesIn);
    expect(restricted).toEqual(whole.filter((line) => !line.startsWith("n ")));
    expect(restricted).toContain("none 0");
    const native = locateNative();
    for (const name of ["none", "etc/shadow"])
      expect(native.listXattrs(AT_FDCWD, join(folders[1] ?? "", name))).toEqual([]);
    const { status, stderr } = run("build", context());
    expect(status).not.toBe(0);
    expect(stderr.match(/error\[runtime\/not-allowed\]/g)).toHaveLength(1);
    expect(stderr).toMatch(/user\.max_user_namespaces is 0/);
    expect(stderr).toMatch(/one of three switches/);
    const doctor = run("doctor");
    expect(doctor.stdout).toMatch(/on the node, as root: sysctl -w user\.max_user_namespaces=15000/);
    expect(doctor.status).toBe(1);
  });

  test("a store on a disk that runs no programs is named as the cause where trees are copied", () => {
    const store = join(folder.path, "noexec");
    const prefix = [
      ...inMounts(`mkdir ${store} && mount -t tmpfs -o noexec t ${store}`),
      ...withBlocked({ mount: EPERM, fsopen: EPERM, move_mount: EPERM }),
    ];
    const argv = [...prefix, join(PROJECT, "bin/kiln"), "--root", store, "doctor", "--json"];
    const run = spawnSync("env", argv, { encoding: "utf8", cwd: "/" });
    expect(run.stdout).toMatch(/"isUsable": false/);
    expect(run.stdout).toMatch(/"cause": "the store's disk runs no programs/);
  });

  test("the answer is remembered: the next build asks nothing, and a build of what is there not even that", () => {
    const store = join(folder.path, "remembered");
    mustKiln(store, ["import", tar, "base"]);
    const answers = (): string[] =>
      spawnSync("sh", ["-c", `ls -i ${store}/runtime/rung-*.json`], { encoding: "utf8" })
        .stdout.trim()
        .split("\n");
    mustKiln(store, ["build", context()]);
    const before = answers();
    expect(before).toHaveLength(1);
    mustKiln(store, ["build", "--no-cache", context()]);
    expect(answers()).toEqual(before);
    expect(statSync(join(store, "runtime")).isDirectory()).toBe(true);
  });
});
