import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { PROJECT, busyboxRoot, missing, temporary } from "./harness.ts";

const why = missing("busybox", "unshare");
if (why !== undefined) console.warn(`the tests of fallbacks are skipped: ${why}`);

describe.skipIf(why !== undefined)("where something is missing", () => {
  // This resembles a container with an overlay as root: the kernel stacks no second writable one on it.
  test("a store on an overlay copies trees instead, says so once, and makes the same files", () => {
    using folder = temporary();
    const path = (name: string): string => join(folder.path, name);
    const root = busyboxRoot(folder.path);
    for (const name of ["lower", "upper", "work", "merged", "context"]) mkdirSync(path(name));
    writeFileSync(path("context/f"), "f\n");
    writeFileSync(
      path("context/Dockerfile"),
      "FROM base\nCOPY f /d/f\nRUN rm /d/f /etc/group && echo x > /d/x && chown 3:4 /d\nRUN rm -r /root && mkdir /root && ls -a /root /d\n",
    );
    const script = [
      "set -e",
      "mount -t overlay o -o lowerdir=lower,upperdir=upper,workdir=work merged",
      `k="${join(PROJECT, "bin/kiln")} --root merged/store"`,
      `$k import ${root} base`,
      "$k build --progress plain -t done context",
      "$k build --progress plain -o type=tar,dest=out.tar context",
    ].join("\n");
    const run = spawnSync("unshare", ["--mount", "sh", "-c", script], { cwd: folder.path, encoding: "utf8" });
    expect(run.stderr).toMatch(/overlayfs cannot be mounted here/);
    expect(run.stderr.match(/overlayfs cannot be mounted here/g)).toHaveLength(1);
    expect(run.stderr).toMatch(/the first copy took [\d.]+ s for .* in \d+ files/);
    expect(run.status).toBe(0);
    const files = spawnSync("tar", ["--numeric-owner", "-tvf", path("out.tar")], { encoding: "utf8" }).stdout;
    expect(files).toMatch(/^drwxr-xr-x 3\/4 .* d\/$/m);
    expect(files).toMatch(/ d\/x$/m);
    expect(files).not.toMatch(/ d\/f$| etc\/group$/m);
  });
});
