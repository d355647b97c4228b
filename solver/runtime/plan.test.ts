import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { RunMount, RunRequest } from "../ports.ts";
import { describePlan } from "./describe-plan.ts";
import type { HostFacts } from "./host.ts";
import { encodePlan } from "./plan-writer.ts";
import { type CgroupPlacement, type PlanFacts, writeChrootPlan, writePlan } from "./plan.ts";

const GOLDENS = join(import.meta.dirname, "../../testdata/runtime/plans");

/** CAP_* 0 to 40, all there are. */
const ALL_CAPABILITIES = 0x1ff_ffff_ffffn;

const MACHINE: HostFacts = {
  resolver: {
    resolvConf: "nameserver 127.0.0.53\nsearch lan\n",
    systemdResolvConf: "nameserver 192.0.2.1\nsearch lan\n",
  },
  heldCapabilities: ALL_CAPABILITIES,
  userNamespace: undefined,
  setgroups: "allow",
  countsIo: true,
  hasKernelCore: true,
  hostname: "machine",
  kernelRelease: "6.1.0",
  mountInfoText: "",
};

const CGROUP: CgroupPlacement = { v2: "/sys/fs/cgroup/kiln/1-1", v1Procs: [], showsV2: true, devices: "filter" };

const ROOT: PlanFacts = {
  host: MACHINE,
  scratchDirectory: "/store/runtime",
  stubDirectory: "/store/runtime/stubs",
  overlayMarks: "trusted",
  seccomp: { program: new Uint8Array(16), probe: 250 },
  cgroup: CGROUP,
  userNamespace: undefined,
  ownersDirectory: undefined,
  networkHelper: [],
  hostDevices: [],
  boundFiles: new Set(),
  without: new Set(),
};

/** A plain user with a range of subordinate ids: root of a user namespace, without cgroups. */
const SUBORDINATE: PlanFacts = {
  ...ROOT,
  host: {
    ...MACHINE,
    userNamespace: { uids: [{ first: 0, count: 65_536 }], gids: [{ first: 0, count: 65_536 }] },
  },
  overlayMarks: "user",
  cgroup: undefined,
};

/** A plain user with their own id only; steps pretend the rest. */
const SINGLE: PlanFacts = {
  ...SUBORDINATE,
  host: {
    ...MACHINE,
    userNamespace: { uids: [{ first: 0, count: 1 }], gids: [{ first: 0, count: 1 }] },
    setgroups: "deny",
  },
  ownersDirectory: "/store/owners",
};

const REQUEST: RunRequest = {
  root: { kind: "overlay", upper: "/store/new/1/upper", work: "/store/new/1/work", lowers: ["/store/b", "/store/a"] },
  mounts: [],
  argv: ["/bin/sh", "-c", "make install"],
  env: ["PATH=/usr/bin:/bin", "TOKEN=hunter2"],
  cwd: "/src",
  user: { uid: 0, gid: 0, supplementary: [], home: "/root" },
  hostname: "buildkitsandbox",
  network: "default",
  security: "sandbox",
  extraHosts: [],
  shmSizeBytes: undefined,
  ulimits: [],
  limits: {},
  cgroupParent: undefined,
  stdio: { kind: "pipes", onOutput: () => undefined },
};

const USER: RunRequest["user"] = { uid: 1000, gid: 100, supplementary: [100, 27], home: "/home/user" };

const SECRET = "correct horse battery staple";

const MOUNTS: readonly RunMount[] = [
  { kind: "bind", hostPath: "/store/caches/npm", target: "/root/.npm", mode: "rw" },
  { kind: "bind", hostPath: "/store/scratch/file", target: "/etc/../etc/one", mode: "ro" },
  {
    kind: "tree",
    tree: { kind: "overlay-ro", lowers: ["/store/d", "/store/c"] },
    source: "/",
    target: "/whole",
    mode: "ro",
  },
  {
    kind: "tree",
    tree: { kind: "overlay", upper: "/store/new/2/upper", work: "/store/new/2/work", lowers: ["/store/e"] },
    source: "a/../part",
    target: "/part",
    mode: "rw",
  },
  {
    kind: "tree",
    tree: { kind: "directory", path: "/context", mode: "ro" },
    source: "/",
    target: "/context",
    mode: "ro",
  },
  { kind: "tmpfs", target: "/tmp", sizeBytes: 1024, mode: undefined },
  { kind: "tmpfs", target: "/empty", sizeBytes: undefined, mode: "ro" },
  {
    kind: "secret",
    target: "/run/secrets/token",
    data: Buffer.from(SECRET),
    permissions: 0o400,
    uid: 0,
    gid: 0,
  },
  { kind: "secret", target: "/usr/local/bin/tool", data: Buffer.from(SECRET), permissions: 0o755, uid: 5, gid: 6 },
  { kind: "socket", hostPath: "/store/agent.sock", target: "/run/buildkit/ssh_agent.0" },
];

interface Case {
  readonly name: string;
  readonly request?: Partial<RunRequest>;
  readonly facts: PlanFacts;
}

const CASES: readonly Case[] = [
  { name: "root", facts: ROOT },
  { name: "root-as-user", facts: ROOT, request: { user: USER } },
  {
    name: "root-own-user-namespace",
    facts: { ...ROOT, userNamespace: { uidMap: "0 0 9", gidMap: "0 0 9", setgroups: "allow" } },
  },
  { name: "root-few-capabilities", facts: { ...ROOT, host: { ...MACHINE, heldCapabilities: 0x20_00ffn } } },
  { name: "subordinate-ids", facts: SUBORDINATE },
  { name: "single-id", facts: SINGLE },
  {
    name: "single-id-as-user",
    facts: { ...SINGLE, userNamespace: { uidMap: "1000 0 1", gidMap: "100 0 1", setgroups: "deny" } },
    request: { user: USER },
  },
  {
    name: "masked-container",
    facts: { ...SUBORDINATE, without: new Set(["proc", "hostname", "pivot_root"] as const) },
  },
  {
    name: "few-namespaces",
    facts: { ...SINGLE, without: new Set(["uts", "hostname", "ipc", "mqueue", "cgroup", "devpts", "sysfs"] as const) },
    request: { network: "none" },
  },
  { name: "network-none", facts: ROOT, request: { network: "none" } },
  {
    name: "network-host",
    facts: ROOT,
    request: { network: "host", extraHosts: [{ name: "db", address: "192.0.2.7" }] },
  },
  {
    name: "network-sandbox",
    facts: { ...SUBORDINATE, networkHelper: ["/usr/bin/pasta", "--netns", "/proc/self/fd/0"] },
    request: { network: "sandbox", extraHosts: [{ name: "db", address: "192.0.2.7" }] },
  },
  {
    name: "insecure",
    facts: {
      ...ROOT,
      seccomp: undefined,
      hostDevices: [{ name: "net/tun", mode: 0o20666, device: 0xac8, uid: 0, gid: 0 }],
    },
    request: { security: "insecure", network: "host" },
  },
  { name: "mounts", facts: { ...ROOT, boundFiles: new Set(["/store/scratch/file"]) }, request: { mounts: MOUNTS } },
  {
    name: "mount-on-standard-mount",
    facts: ROOT,
    request: {
      mounts: [
        { kind: "tmpfs", target: "/dev", sizeBytes: undefined },
        { kind: "bind", hostPath: "/store/caches/shm", target: "/dev/shm", mode: "rw" },
      ],
    },
  },
  {
    name: "limits",
    facts: {
      ...ROOT,
      cgroup: {
        v2: "/sys/fs/cgroup/unified/kiln/1-1",
        v1Procs: ["/sys/fs/cgroup/memory/kiln/1-1/cgroup.procs"],
        showsV2: false,
        devices: "v1",
      },
    },
    request: {
      shmSizeBytes: 1_048_576,
      ulimits: [
        { name: "nofile", soft: 1024, hard: 4096 },
        { name: "core", soft: 0, hard: -1 },
      ],
    },
  },
  { name: "tree-of-one-layer", facts: ROOT, request: { root: { kind: "overlay-ro", lowers: [] } } },
  {
    name: "tree-in-a-directory",
    facts: { ...ROOT, host: { ...MACHINE, hasKernelCore: false }, cgroup: undefined, seccomp: undefined },
    request: {
      root: { kind: "directory", path: "/store/new/1/copy", mode: "rw" },
      env: ["HOME=", "A=1"],
      stdio: { kind: "inherit" },
    },
  },
];

describe("a plan", () => {
  test.each(CASES)("of the case $name is the golden one", async ({ name, request, facts }) => {
    const plan = writePlan({ ...REQUEST, ...request }, facts);
    await expect(describePlan(plan)).toMatchFileSnapshot(join(GOLDENS, `${name}.txt`));
  });

  test.each([
    { name: "chroot", user: REQUEST.user },
    { name: "chroot-as-user", user: USER },
  ])("of the case $name is the golden one", async ({ name, user }) => {
    const plan = writeChrootPlan(
      { ...REQUEST, user },
      { host: SUBORDINATE.host, seccomp: ROOT.seccomp, root: "/store/new/1/copy", answersProc: name === "chroot" },
    );
    await expect(describePlan(plan)).toMatchFileSnapshot(join(GOLDENS, `${name}.txt`));
  });

  test("is the same for the same facts, byte for byte", () => {
    const [first, second] = [1, 2].map(() => writePlan({ ...REQUEST, mounts: MOUNTS }, ROOT));
    expect(second).toEqual(first);
    expect(encodePlan(second?.directives ?? [])).toEqual(encodePlan(first?.directives ?? []));
  });

  test("is told to people without values of variables and without secrets", () => {
    const text = describePlan(writePlan({ ...REQUEST, mounts: MOUNTS }, ROOT));
    expect(text).toContain("env TOKEN=...\n");
    expect(text).not.toContain("hunter2");
    expect(text).not.toContain(SECRET);
    expect(text).toContain(`(${SECRET.length} bytes)`);
  });

  test("is encoded as strings that end with NUL, bytes after their length", () => {
    const encoded = encodePlan([
      { name: "hostname", values: ["box"] },
      { name: "file", values: ["/a", 0o644], data: Buffer.from("x\0y") },
      { name: "arg", values: [""] },
    ]);
    expect(Buffer.from(encoded).toString()).toBe(
      ["36\nhostname", "box", "file", "/a", "420", "3", "x", "y", "arg", "", ""].join("\0"),
    );
  });

  test("with a NUL in a word is refused without telling the word", () => {
    const refuse =
      (name: string, value: string): unknown =>
      () =>
        encodePlan([{ name, values: [value] }]);
    expect(refuse("env", "TOKEN=hun\0ter2")).toThrow(/the variable "TOKEN" has a NUL byte/);
    expect(refuse("arg", "hun\0ter2")).toThrow(/^(?!.*hun).*a word of the command has a NUL byte/);
  });
});
