import { spawnSync } from "node:child_process";
import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { PROJECT, missing, mustKiln, temporary } from "./harness.ts";

const why =
  missing("busybox", "docker") ??
  (spawnSync("docker", ["buildx", "inspect"], { stdio: "ignore" }).status === 0
    ? undefined
    : "needs docker with buildx");
if (why !== undefined) console.warn(`the comparison of sandboxes is skipped: ${why}`);

/** Intended differences. */
const DIFFERENT: readonly { readonly pattern: RegExp; readonly because: string }[] = [
  { pattern: /^\/ overlay /, because: "the overlay is volatile" },
  { pattern: /^\/sys\/fs\/cgroup/, because: "BuildKit shows a tmpfs for cgroup v1, kiln nothing" },
];

// Capabilities, no_new_privs, seccomp, masked and read-only paths, devices, mounts, system calls that fail, environment.
describe.skipIf(why !== undefined)("what a step sees of its sandbox", { timeout: 120_000 }, () => {
  test("is what it sees under docker buildx, for root and for another user", () => {
    using folder = temporary();
    const context = join(folder.path, "context");
    cpSync(join(PROJECT, "testdata/e2e/sandbox-state"), context, { recursive: true });
    cpSync("/bin/busybox", join(context, "busybox"), { dereference: true });
    mustKiln(join(folder.path, "store"), ["build", "-o", `type=local,dest=${join(folder.path, "kiln")}`, context]);
    const docker = spawnSync(
      "docker",
      [
        ...["buildx", "build", "--no-cache", "--network", "host", "--allow", "network.host"],
        ...["-o", `type=local,dest=${join(folder.path, "docker")}`, context],
      ],
      { encoding: "utf8" },
    );
    expect(docker.status).toBe(0);
    for (const name of ["root.txt", "user.txt"]) {
      const facts = (builder: string): string[] =>
        readFileSync(join(folder.path, builder, name), "utf8")
          .split("\n")
          .filter((line) => DIFFERENT.every(({ pattern }) => !pattern.test(line)));
      expect(facts("kiln"), name).toEqual(facts("docker"));
    }
  });
});
