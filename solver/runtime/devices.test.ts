import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findHierarchies } from "./cgroup-tree.ts";
import { readHostFacts } from "./host.ts";
import { DEVICE_RULES, deviceAllowLines } from "./policy/devices.ts";
import { cannotRun, Sandbox } from "./testing.ts";

const facts = readHostFacts();
const hierarchies = findHierarchies(facts.mountInfoText);
/** mountinfo with only the hierarchies of one version, as if the machine had no others. */
const only = (type: "cgroup" | "cgroup2" | "none"): typeof facts => ({
  ...facts,
  mountInfoText: facts.mountInfoText
    .split("\n")
    .filter((line) => !line.includes(" - cgroup") || line.includes(` - ${type} `))
    .join("\n"),
});

const missing = cannotRun() ?? (facts.userNamespace === undefined ? undefined : "needs the first user namespace");
const withoutV1 = hierarchies.some(({ version, controllers }) => version === 1 && controllers.includes("devices"))
  ? undefined
  : "needs the devices controller of cgroup v1";
const withoutV2 = hierarchies.some(({ version }) => version === 2) ? undefined : "needs a cgroup v2 hierarchy";

test("the rules of cgroup v1 are the container engines' list", () => {
  expect(deviceAllowLines()).toEqual([
    "c *:* m",
    "b *:* m",
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:0 rwm",
    "c 5:2 rwm",
    "c 136:* rwm",
    "c 10:200 rwm",
  ]);
});

describe.each([
  { name: "a filter on the v2 group", facts: only("cgroup2"), reason: missing ?? withoutV2, opens: true },
  { name: "the devices controller of v1", facts: only("cgroup"), reason: missing ?? withoutV1, opens: true },
  { name: "nodev where there is no cgroup", facts: only("none"), reason: missing, opens: false },
])("device nodes, kept by $name", ({ facts: machine, reason, opens }) => {
  if (reason !== undefined) console.warn(`skipping device nodes: ${reason}`);
  let box: Sandbox;
  beforeAll(() => {
    if (reason === undefined) box = new Sandbox({ facts: machine });
  });
  afterAll(() => {
    if (reason === undefined) box[Symbol.dispose]();
  });

  /** Makes the node anew and says which ways of opening it work: some of `r`, `w` and `rw`. */
  const opening = (node: string, path = "/tmp/node"): string =>
    `rm -f ${path}; mknod ${path} ${node} || echo unmade; (: < ${path}) 2>/dev/null && echo r; (: > ${path}) 2>/dev/null && echo w; (: <> ${path}) 2>/dev/null && echo rw; true`;

  test.skipIf(reason !== undefined).each(
    DEVICE_RULES.filter(({ major, minor }) => major === 1 && minor !== undefined).map(({ name, major, minor }) => ({
      name,
      node: `c ${major} ${minor}`,
    })),
  )("$name made by mknod can be opened as the one in /dev", async ({ node }) => {
    const { stdout } = await box.sh(opening(node));
    expect(stdout).toBe(opens ? "r\nw\nrw\n" : "");
  });

  test.skipIf(reason !== undefined).each([
    { name: "kernel memory", node: "c 1 1" },
    { name: "I/O ports", node: "c 1 4" },
    { name: "the kernel's log", node: "c 1 11" },
    { name: "the host's console", node: "c 5 1" },
    { name: "a terminal of the host's", node: "c 4 1" },
    { name: "a SCSI disk", node: "b 8 0" },
    { name: "a virtio disk", node: "b 254 0" },
    { name: "a loop device", node: "b 7 0" },
    { name: "loop-control", node: "c 10 237" },
    { name: "FUSE", node: "c 10 229" },
    { name: "KVM", node: "c 10 232" },
  ])("$name can be made and not opened, wherever it is made", async ({ node }) => {
    for (const path of ["/tmp/node", "/dev/node", "/dev/shm/node", "/cache/node"]) {
      // oxlint-disable-next-line no-await-in-loop
      const { stdout, exitCode } = await box.sh(opening(node, path), {
        mounts: [{ kind: "bind", hostPath: box.directory, target: "/cache", mode: "rw" }],
      });
      expect({ path, stdout, exitCode }).toEqual({ path, stdout: "", exitCode: 0 });
    }
  });

  test.skipIf(reason !== undefined)(
    "the nodes in /dev work, and an insecure step opens what the host has",
    async () => {
      const usual = await box.sh("head -c3 /dev/zero | wc -c; echo x > /dev/null; head -c1 /dev/urandom | wc -c");
      expect(usual.stdout).toBe("3\n1\n");
      const insecure = await box.sh(opening("c 1 11"), { security: "insecure" });
      expect(insecure.stdout).toContain("r\n");
    },
  );

  test.skipIf(reason !== undefined)(
    "a program in a target that was with nodes of its own, as debootstrap makes them, can use them",
    async () => {
      const { upper, mount } = box.overlay();
      const { stdout } = await box.sh(
        "mkdir -p /t/dev /t/bin; cp /bin/busybox /t/bin/sh; mknod -m 666 /t/dev/null c 1 3; chroot /t /bin/sh -c '(: > /dev/null) && echo open || echo shut'",
        { root: mount },
      );
      expect(stdout).toBe(opens ? "open\n" : "shut\n");
      expect(statSync(join(upper, "t/dev/null")).isCharacterDevice()).toBe(true);
    },
  );

  test.skipIf(reason !== undefined)("nothing of it is left in the cgroup trees", async () => {
    await box.sh("true");
    const left = hierarchies.flatMap(({ path }) => {
      try {
        return readdirSync(join(path, "kiln")).filter((name) => name.startsWith(`${process.pid}-test`));
      } catch {
        return []; // no kiln has ever used this hierarchy
      }
    });
    expect(left).toEqual([]);
  });
});
