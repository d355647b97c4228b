import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { kiln, missing, mustKiln } from "../e2e/harness.ts";
import { useFreshStore } from "../robust/fresh-store.ts";
import { startKiln, writeContext } from "../robust/kiln-process.ts";
import { remainsOf } from "./remains.ts";
import { SIZES } from "./sizes.ts";

const why = missing("busybox");
if (why !== undefined) console.warn(`tests of heavy steps are skipped: ${why}`);

const { processes } = SIZES;
const PIDS = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"].find((path) => existsSync(join(path, "cgroup.procs"))) ?? "";
const noLimit = why ?? cannotLimit();
if (noLimit !== undefined) console.warn(`the test of a limit of processes is skipped: ${noLimit}`);

/** Returns the reason why processes cannot be limited here. */
function cannotLimit(): string | undefined {
  const group = join(PIDS, `kiln-load-probe-${process.pid}`);
  try {
    mkdirSync(group);
  } catch (error) {
    return `cannot make a cgroup: ${String(error)}`;
  }
  const hasLimit = existsSync(join(group, "pids.max"));
  rmdirSync(group);
  return hasLimit ? undefined : "there is no pids controller";
}

describe.skipIf(why !== undefined)("heavy steps", { timeout: 300_000 }, () => {
  let store: string;
  let context: string;
  let folder: string;
  useFreshStore((fresh) => ({ store, context, folder } = fresh));

  test(`${processes} processes that a step leaves running end with it`, async () => {
    writeContext(context, {
      Dockerfile: [
        "FROM busybox",
        `RUN mkfifo /wait; n=0; while [ $n -lt ${processes} ]; do (read x < /wait) & n=$((n + 1)); done; echo started $n; rm /wait`,
        "RUN ls / > /after",
        "",
      ].join("\n"),
    });
    const build = startKiln(store, ["build", "--progress=plain", "-t", "app", context]);
    const { status, stderr } = await build.ended;
    expect(stderr).toContain(` started ${processes}\n`);
    expect(status).toBe(0);
    expect(remainsOf(store, [build.child.pid ?? 0])).toEqual([]);
  });

  test.skipIf(noLimit !== undefined)(
    "a limit of processes on the parent cgroup holds, and the build says what could not be forked",
    async () => {
      const name = `kiln-load-${process.pid}`;
      const group = join(PIDS, name);
      mkdirSync(group);
      try {
        writeFileSync(join(group, "pids.max"), "40");
        writeContext(context, {
          Dockerfile: "FROM busybox\nRUN n=0; while [ $n -lt 100 ]; do sleep 1000 & n=$((n + 1)); done; echo al''l\n",
        });
        const build = startKiln(store, ["build", "--progress=plain", "--cgroup-parent", `/${name}`, context]);
        const { status, stderr } = await build.ended;
        expect(stderr).not.toContain(" all\n");
        expect(stderr).toContain("can't fork");
        expect(stderr).toContain("exit code: 2");
        expect(status).toBe(1);
        expect(remainsOf(store, [build.child.pid ?? 0])).toEqual([]);
      } finally {
        rmdirSync(group);
      }
    },
  );

  test("a path of 4,000 bytes is made, copied, exported, packed, compared and removed", () => {
    // The longest that the kernel takes at one go are 4,095; inside the store a path of a layer is longer than that.
    const names = Array.from({ length: 19 }, (_, n) => `${n}-`.padEnd(205, "d"));
    const deep = names.join("/");
    const path = `${deep}/`.padEnd(3990, "f");
    writeContext(context, {
      Dockerfile: [
        "FROM busybox AS made",
        // The shell goes down step by step, because /deep/ is in front.
        `RUN mkdir /deep && cd /deep && for n in ${names.join(" ")}; do mkdir $n && cd $n; done && echo made > ${path.slice(deep.length + 1)}`,
        "FROM busybox",
        "COPY --from=made /deep /copied",
        "COPY files /files",
        "RUN cd /copied && find . -type f | awk '{ print length($0) }' > /length",
        "",
      ].join("\n"),
      "files/short": "x\n",
    });
    // Written step by step as well: with the context before it the path is too long for one call.
    const goDown =
      'cd "$1" && name=$2 && shift 2 && for n; do mkdir "$n" && cd -P "$n" || exit 1; done && echo deep > "$name"';
    execFileSync("sh", ["-c", goDown, "sh", join(context, "files"), path.slice(deep.length + 1), ...names]);
    mustKiln(store, ["build", "-q", "-t", "app", context]);
    expect(mustKiln(store, ["run", "app", "cat", "/length"]).stdout).toBe(`${path.length + 2}\n`);
    expect(kiln(store, ["build", "--progress=plain", "-t", "app", context]).stderr).toMatch(/CACHED/);
    const out = join(folder, "out");
    const outputs = ["-o", out, "-o", `type=oci,dest=${join(folder, "app.tar")}`];
    mustKiln(store, ["build", "-q", ...outputs, context]);
    mustKiln(store, ["load", "-i", join(folder, "app.tar")]);
    expect(mustKiln(store, ["diff", "COPY files"]).stdout).toContain(`/${path}`);
    // Node removes by path, and this one is too long for it.
    execFileSync("rm", ["-rf", out, join(context, "files")]);
    mustKiln(store, ["rmi", "app"]);
    mustKiln(store, ["prune", "--all"]);
    expect(kiln(store, ["fsck"]).stdout).toContain("0 problems, 0 files that nothing names");
  });
});
