import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findHierarchies } from "./cgroup-tree.ts";
import { Cgroups } from "./cgroups.ts";
import { cannotRun, caught, Sandbox } from "./testing.ts";

const plainStep = { limits: {}, parent: undefined, devices: "all" } as const;

/** A directory that looks like a v2 hierarchy; real files, but no kernel behind them. */
function v2(controllers: string): { path: string; mountInfo: string } {
  const path = mkdtempSync(join(tmpdir(), "kiln-cgroup-"));
  writeFileSync(join(path, "cgroup.controllers"), `${controllers}\n`);
  writeFileSync(join(path, "cgroup.subtree_control"), `${controllers}\n`);
  mkdirSync(join(path, "kiln"));
  writeFileSync(join(path, "kiln/cgroup.subtree_control"), `${controllers}\n`);
  return { path, mountInfo: `41 31 0:38 / ${path} rw - cgroup2 cgroup2 rw\n` };
}

test("finds v1, v2 and hybrid hierarchies, each once", () => {
  const { path, mountInfo } = v2("cpu memory io");
  const text = `33 31 0:30 / /c/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /c/with\\040space rw - cgroup cgroup rw,memory
36 31 0:32 / /again rw - cgroup cgroup rw,memory
40 31 0:37 / /c/systemd rw - cgroup cgroup rw,name=systemd
${mountInfo}`;
  expect(findHierarchies(text)).toEqual([
    { version: 1, path: "/c/cpu,cpuacct", controllers: ["cpu"] },
    { version: 1, path: "/c/with space", controllers: ["memory"] },
    { version: 2, path, controllers: ["memory", "cpu"] },
  ]);
  rmSync(path, { recursive: true });
});

test.each([
  { name: "a directory above it is covered", over: "50 30 0:60 / /sys rw - tmpfs t rw", covered: true },
  { name: "it is covered itself", over: "50 41 0:60 / /sys/fs/cgroup rw - tmpfs t rw", covered: true },
  { name: "a directory beside it is covered", over: "50 30 0:60 / /sys/fs/cg rw - tmpfs t rw", covered: false },
  { name: "a directory in it is covered", over: "50 41 0:60 / /sys/fs/cgroup/x rw - tmpfs t rw", covered: false },
])("where $name, a hierarchy is no use: $covered", ({ over, covered }) => {
  const text = `20 1 0:20 / / rw - ext4 d rw
30 20 0:30 / /sys rw - sysfs s rw
41 30 0:38 / /sys/fs/cgroup rw - cgroup2 c rw
${over}
`;
  expect(findHierarchies(text)).toHaveLength(covered ? 0 : 1);
});

test("on v2 every step is born in a group of its own, with its limits in it", () => {
  const { path, mountInfo } = v2("cpu memory cpuset");
  const notices: string[] = [];
  const cgroups = new Cgroups({
    mountInfoText: mountInfo,
    instance: `${process.pid}-t`,
    notice: (text) => notices.push(text),
  });
  const plain = cgroups.enter({ ...plainStep, devices: "listed" });
  expect(plain?.placement).toEqual({
    v2: join(path, `kiln/${process.pid}-t-0`),
    v1Procs: [],
    showsV2: true,
    devices: "filter",
  });
  const limited = cgroups.enter({
    ...plainStep,
    limits: { memoryBytes: 1000, memorySwapBytes: 1500, cpuShares: 1024, cpuQuotaUs: 50_000, cpusetCpus: "0" },
    parent: "/ci/builds",
  });
  const group = limited?.placement.v2 ?? "";
  expect(group).toBe(join(path, `ci/builds/${process.pid}-t-1`));
  const values = ["memory.max", "memory.swap.max", "cpu.weight", "cpu.max", "cpuset.cpus"].map((file) =>
    readFileSync(join(group, file), "utf8"),
  );
  expect(values).toEqual(["1000", "500", "39", "50000 100000", "0"]);
  expect(notices).toEqual([]);
  rmSync(path, { recursive: true });
});

test("on v1 a step joins its parent in every hierarchy, because limits of any kind may be set there", () => {
  const path = mkdtempSync(join(tmpdir(), "kiln-cgroup-"));
  for (const name of ["memory", "pids", "cpu"]) mkdirSync(join(path, name));
  const mountInfoText = ["memory", "pids", "cpu"]
    .map((name, n) => `4${n} 31 0:3${n} / ${path}/${name} rw - cgroup cgroup rw,${name}\n`)
    .join("");
  const cgroups = new Cgroups({ mountInfoText, instance: `${process.pid}-t`, notice: () => {} });
  const placed = cgroups.enter({ ...plainStep, parent: "/ci" });
  expect(placed?.placement.v1Procs).toEqual(
    ["memory", "pids", "cpu"].map((name) => join(path, name, `ci/${process.pid}-t-0/cgroup.procs`)),
  );
  expect(cgroups.enter({ ...plainStep, limits: { memoryBytes: 1 << 30 } })?.placement.v1Procs).toEqual([
    join(path, `memory/kiln/${process.pid}-t-1/cgroup.procs`),
  ]);
  rmSync(path, { recursive: true });
});

test("a missing controller is said once", () => {
  const { path, mountInfo } = v2("memory");
  const notices: string[] = [];
  const cgroups = new Cgroups({
    mountInfoText: mountInfo,
    instance: `${process.pid}-t`,
    notice: (text) => notices.push(text),
  });
  for (let i = 0; i < 3; i++) cgroups.enter({ ...plainStep, limits: { cpuShares: 10 } });
  expect(notices).toEqual(["limits on cpu are not enforced: this machine has no cpu cgroup controller"]);
  rmSync(path, { recursive: true });
});

test("a hierarchy that holds no limit is not missed", () => {
  const { path, mountInfo } = v2("");
  rmSync(join(path, "kiln"), { recursive: true });
  writeFileSync(join(path, "kiln"), "no group can be made here");
  const notices: string[] = [];
  const cgroups = new Cgroups({
    mountInfoText: mountInfo,
    instance: `${process.pid}-t`,
    notice: (n) => notices.push(n),
  });
  cgroups.enter({ ...plainStep, limits: { memoryBytes: 1 << 30 } });
  expect(notices).toEqual(["limits on memory are not enforced: this machine has no memory cgroup controller"]);
  rmSync(path, { recursive: true });
});

test("groups of kilns that are gone are removed, others stay", () => {
  const { path, mountInfo } = v2("memory");
  // No pid is that large: the kernel's limit is 2^22.
  for (const name of ["99999999-dead-0", `${process.pid}-other-0`, "something"]) mkdirSync(join(path, "kiln", name));
  const cgroups = new Cgroups({ mountInfoText: mountInfo, instance: `${process.pid}-t`, notice: () => {} });
  cgroups.enter(plainStep)?.[Symbol.dispose]();
  expect(readdirSync(join(path, "kiln")).toSorted()).toEqual(
    [`${process.pid}-other-0`, "cgroup.subtree_control", "something"].toSorted(),
  );
  rmSync(path, { recursive: true });
});

test.each(["a/../../b", "x.slice:kiln:1"])("%j is refused as a parent", (parent) => {
  const cgroups = new Cgroups({ mountInfoText: "", instance: "1-t", notice: () => {} });
  expect(caught(() => cgroups.enter({ ...plainStep, parent }))).toMatchObject({ code: "runtime/unsupported" });
});

const hierarchies = findHierarchies(
  existsSync("/proc/self/mountinfo") ? readFileSync("/proc/self/mountinfo", "utf8") : "",
);
const reason =
  cannotRun() ??
  (hierarchies.some(({ controllers }) => controllers.includes("memory"))
    ? undefined
    : "needs a memory cgroup controller");
if (reason !== undefined) console.warn(`skipping the tests of real cgroups: ${reason}`);

describe.skipIf(reason !== undefined)("real cgroups", () => {
  let box: Sandbox;
  beforeAll(() => {
    box = new Sandbox();
  });
  afterAll(() => {
    box[Symbol.dispose]();
  });

  const leftovers = (): string[] =>
    hierarchies.flatMap(({ path }) => {
      const directory = join(path, "kiln");
      return existsSync(directory) ? readdirSync(directory).filter((name) => name.includes(`${process.pid}-test`)) : [];
    });

  test("a step that needs more memory than it may have is reported as out of memory", async () => {
    const result = await box.sh("tail /dev/zero", {
      limits: { memoryBytes: 16 * 1024 * 1024, memorySwapBytes: 16 * 1024 * 1024 },
    });
    expect(result).toMatchObject({ oomKilled: true, exitCode: 137 });
    expect(result.peakMemoryBytes).toBeGreaterThan(8 * 1024 * 1024);
    expect(leftovers()).toEqual([]);
  });

  test("a step within its limits is not, and its peak is counted for the whole container", async () => {
    const result = await box.sh("echo fine", { limits: { memoryBytes: 64 * 1024 * 1024 } });
    expect(result).toMatchObject({ oomKilled: false, exitCode: 0, stdout: "fine\n" });
    expect(leftovers()).toEqual([]);
  });
});
