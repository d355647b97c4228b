import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PROJECT, busyboxRoot, kiln, missing, mustKiln } from "../harness.ts";
import { asPlainUser, cannotBePlain } from "../plain-user.ts";

/** Somewhere that kiln may run, with what that place allows it. */
export interface Place {
  /** Row of the table in docs/rootless.md. */
  readonly name: string;
  /** True when a RUN can work there at all; COPY, ADD and unpacking always can. */
  readonly runs: boolean;
  /** Reason why it cannot be tried here, or `undefined`. */
  readonly why: string | undefined;
  /** Runs a shell script there. It may read and write below `folder`, has bin/kiln as `$KILN`, and one store for all its commands. */
  sh(folder: string, script: string): Outcome;
}

export interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

const KILN = join(PROJECT, "bin/kiln");

/** An ordinary user without any capability or a way to get one. */
const RESTRICTED = ["--reuid=12345", "--regid=12345", "--clear-groups", "--bounding-set=-all", "--no-new-privs"];

/** Kubernetes' "restricted" pod security standard, as an engine's options. */
const POD = "--user 12345:12345 --cap-drop ALL --security-opt no-new-privileges --read-only --tmpfs /tmp".split(" ");

/** Directories of the machine that Node and the tests' programs need, shown to a container read-only. */
const LIBRARIES = ["/usr", "/lib", "/lib64"].filter((path) => existsSync(path));

/** Command line of an engine with `busybox` in it, or of none. */
const DOCKER = process.env["KILN_TEST_DOCKER"] ?? "docker";
const IMAGE = process.env["KILN_TEST_DOCKER_IMAGE"] ?? "busybox";

const needs = missing("busybox", "setpriv", "unshare");
const noPodman = missing("podman") ?? cannotBePlain("subordinate");
const noDocker = hasImage() ? undefined : "needs docker (KILN_TEST_DOCKER) with an image (KILN_TEST_DOCKER_IMAGE)";

export const PLACES: readonly Place[] = [
  {
    name: "root",
    runs: true,
    why: needs,
    sh: (folder, script) => spawn(["env", ...environment(folder), "sh", "-c", script]),
  },
  {
    name: "a plain user with subordinate ids",
    runs: true,
    why: needs ?? cannotBePlain("subordinate"),
    sh: (folder, script) => asPlainUser(folder, "subordinate", ["env", ...environment(folder), "sh", "-c", script]),
  },
  {
    name: "a plain user with a single id",
    runs: true,
    why: needs ?? cannotBePlain("single"),
    sh: (folder, script) => asPlainUser(folder, "single", ["env", ...environment(folder), "sh", "-c", script]),
  },
  {
    name: "root, user namespaces forbidden, without CAP_SYS_ADMIN",
    runs: true,
    why: needs ?? cannotBePlain("subordinate"),
    sh: (folder, script) => withoutUserNamespaces(folder, ["--bounding-set=-sys_admin"], script),
  },
  {
    name: "a plain user, user namespaces forbidden",
    runs: false,
    why: needs ?? cannotBePlain("subordinate"),
    sh: (folder, script) => withoutUserNamespaces(folder, RESTRICTED, script),
  },
  {
    name: "a container of kiln's own",
    runs: true,
    why: needs,
    sh: (folder, script) => inOwnContainer(folder, ["sh", "-c", script]),
  },
  {
    name: "a container of kiln's own, restricted",
    runs: false,
    why: needs,
    sh: (folder, script) => inOwnContainer(folder, ["/usr/bin/setpriv", ...RESTRICTED, "sh", "-c", script]),
  },
  {
    name: "docker run",
    runs: true,
    why: needs ?? noDocker,
    sh: (folder, script) => inDocker(folder, [], script),
  },
  {
    name: "docker run --security-opt seccomp=unconfined",
    runs: true,
    why: needs ?? noDocker,
    sh: (folder, script) => inDocker(folder, ["--security-opt", "seccomp=unconfined"], script),
  },
  {
    name: "docker run --cap-add SYS_ADMIN",
    runs: true,
    why: needs ?? noDocker,
    sh: (folder, script) => inDocker(folder, ["--cap-add", "SYS_ADMIN"], script),
  },
  {
    name: "docker run as a restricted pod",
    runs: false,
    why: needs ?? noDocker,
    sh: (folder, script) => inDocker(folder, POD, script),
  },
  {
    name: "podman run by a plain user",
    runs: true,
    why: needs ?? noPodman,
    sh: (folder, script) => inPodman(folder, [], script),
  },
  {
    name: "podman run --user 1000 by a plain user",
    runs: true,
    why: needs ?? noPodman,
    sh: (folder, script) => inPodman(folder, ["--user", "1000:1000"], script),
  },
];

function environment(folder: string): string[] {
  return [`KILN=${KILN}`, `KILN_ROOT=${join(folder, "store")}`, "SOURCE_DATE_EPOCH=1700000000"];
}

function spawn(argv: readonly string[]): Outcome {
  const [program = "", ...args] = argv;
  const options = { cwd: "/", encoding: "utf8", maxBuffer: 1 << 28, timeout: 300_000, killSignal: "SIGKILL" } as const;
  const { status, stdout, stderr, error } = spawnSync(program, args, options);
  return { status: status ?? 255, stdout: stdout ?? "", stderr: error === undefined ? stderr : error.message };
}

/**
 * Root of a user namespace with many ids, in which no further ones may be made. The limit is of that namespace and of all below it,
 * and who may have which ids is covered in a mount namespace: nothing changes for the machine.
 */
function withoutUserNamespaces(folder: string, identity: readonly string[], script: string): Outcome {
  const ids = join(folder, "ids");
  writeFileSync(ids, "root:0:65536\n");
  const cover = `for name in subuid subgid; do mount --bind ${ids} /etc/$name || exit 99; done && exec "$@"`;
  const limit = 'echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv "$@"';
  return spawn([
    ...["unshare", "--mount", "sh", "-c", cover, "sh"],
    ...["unshare", "--user", "--map-users=0,0,65536", "--map-groups=0,0,65536", "--setuid=0", "--setgid=0"],
    ...["sh", "-c", limit, "sh", ...identity],
    ...["env", "-u", "HOME", ...environment(folder), "sh", "-c", script],
  ]);
}

function volumesOf(folder: string): string[] {
  const volumes = [...LIBRARIES.map((path) => `${path}:${path}:ro`), `${PROJECT}:${PROJECT}:ro`, `${folder}:${folder}`];
  return volumes.flatMap((volume) => ["--volume", volume]);
}

function environmentOfContainer(folder: string): string[] {
  return [...environment(folder), "PATH=/usr/bin:/bin"].flatMap((variable) => ["--env", variable]);
}

/** A step of kiln has the engines' capabilities and system call filter, and no right to a namespace or a mount. */
function inOwnContainer(folder: string, argv: readonly string[]): Outcome {
  const outer = join(folder, "outer");
  if (!existsSync(outer)) {
    mkdirSync(outer);
    mustKiln(outer, ["import", busyboxRoot(mkdtempSync(join(folder, "container-"))), "container"]);
  }
  return kiln(outer, ["run", ...volumesOf(folder), ...environmentOfContainer(folder), "container", ...argv]);
}

function inDocker(folder: string, options: readonly string[], script: string): Outcome {
  const container = [...volumesOf(folder), ...environmentOfContainer(folder), "--network", "host", "--pull", "never"];
  return spawn([DOCKER, "run", "--rm", ...options, ...container, IMAGE, "sh", "-c", script]);
}

/**
 * A container of a plain user's podman. All of podman is in the folder, and in a process namespace of its own, with which the process
 * ends that it leaves behind.
 */
function inPodman(folder: string, options: readonly string[], script: string): Outcome {
  const image = join(folder, "container.tar");
  if (!existsSync(image)) {
    spawnSync("tar", ["-cf", image, "--owner=0", "--group=0", "-C", busyboxRoot(folder), "."]);
  }
  const own = '--root "$HOME/graph" --runroot /run/plain --cgroup-manager cgroupfs --events-backend none';
  const steps = [
    "export XDG_RUNTIME_DIR=/run/plain",
    `podman ${own} image exists container || podman ${own} import -q ${image} container > /dev/null || exit`,
    `exec podman ${own} run --rm --cgroups disabled "$@"`,
  ];
  const container = [...options, ...volumesOf(folder), ...environmentOfContainer(folder), "--network", "host"];
  const argv = ["sh", "-c", steps.join("\n"), "sh", ...container, "container", "sh", "-c", script];
  // The path of the one may have 50 characters; crun refuses a machine with both versions of cgroups, which are not needed here.
  const prepare = [
    'mount -t tmpfs none /run && mkdir -m 700 /run/plain && chown "$(stat -c %u "$HOME")" /run/plain',
    "{ test ! -d /sys/fs/cgroup/unified || mount -t tmpfs none /sys/fs/cgroup; }",
  ].join(" && ");
  return asPlainUser(folder, "subordinate", argv, prepare, ["--pid", "--fork", "--kill-child", "--mount-proc"]);
}

function hasImage(): boolean {
  return spawn([DOCKER, "image", "inspect", IMAGE]).status === 0;
}
