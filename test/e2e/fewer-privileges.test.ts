import { spawnSync } from "node:child_process";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { busyboxRoot, missing, PROJECT, temporary } from "./harness.ts";

const why =
  missing("busybox", "setpriv") ??
  (spawnSync("unshare", ["--user", "true"]).status === 0 ? undefined : "user namespaces are not allowed here");
if (why !== undefined) console.warn(`the tests of root with fewer privileges are skipped: ${why}`);

/** Ways of starting kiln, each with the user namespace and capabilities that a step then has. */
const WAYS = [
  { name: "root without CAP_SYS_ADMIN", argv: ["setpriv", "--bounding-set=-sys_admin"], env: {} },
  { name: "root with a user namespace for each step", argv: [], env: { KILN_STEP_USERNS: "1" } },
  { name: "both", argv: ["setpriv", "--bounding-set=-sys_admin"], env: { KILN_STEP_USERNS: "1" } },
] as const;

describe.skipIf(why !== undefined).each(WAYS)("$name", { timeout: 60_000 }, ({ argv, env }) => {
  const folder = temporary();
  const kiln = (...args: string[]): { status: number | null; stdout: string; stderr: string } => {
    const [program = "", ...rest] = [...argv, join(PROJECT, "bin/kiln"), "--root", join(folder.path, "store"), ...args];
    return spawnSync(program, rest, { encoding: "utf8", env: { ...process.env, ...env } });
  };

  beforeAll(() => {
    const { status, stderr } = kiln("import", busyboxRoot(folder.path), "base");
    if (status !== 0) throw new Error(`kiln import failed:\n${stderr}`);
  });
  afterAll(() => folder[Symbol.dispose]());

  test("owners and setuid bits land in the layer, mounts and secrets work, and the step's root is not the machine's", () => {
    writeFileSync(
      join(folder.path, "Dockerfile"),
      `FROM base
RUN mkdir /d && echo x > /d/f && chown 12:34 /d/f && chmod 4755 /d/f
RUN --mount=type=cache,target=/c --mount=type=tmpfs,target=/t --mount=type=secret,id=s touch /c/x /t/x && cat /run/secrets/s > /d/s
USER 1000:1001
RUN id -u; id -g; ! touch /d/f
USER 0
RUN readlink /proc/self/ns/user > /d/ns; grep CapEff /proc/self/status > /d/caps; mount -t tmpfs x /mnt 2>/dev/null && exit 1; mknod /d/null c 1 3 2>/dev/null && rm /d/null; ls -ln /d/f | cut -c1-10 > /d/mode; ls -ln /d/f | awk '{print $3 ":" $4}' >> /d/mode
FROM scratch
COPY --from=0 /d /
`,
    );
    writeFileSync(join(folder.path, "secret"), "hidden");
    const out = join(folder.path, "out");
    const built = kiln(
      ...["build", "--progress", "plain", "--secret", `id=s,src=${join(folder.path, "secret")}`],
      ...["-o", `type=local,dest=${out}`, folder.path],
    );
    expect(built.stderr).not.toContain("error[");
    expect(built.status).toBe(0);
    const read = (name: string): string => readFileSync(join(out, name), "utf8");
    expect(read("mode")).toBe("-rwsr-xr-x\n12:34\n");
    expect(read("s")).toBe("hidden");
    expect(read("caps")).toBe("CapEff:\t00000000a80425fb\n");
    const { stdout: machine } = spawnSync("readlink", ["/proc/self/ns/user"], { encoding: "utf8" });
    expect(read("ns")).not.toBe(machine);
  });

  test("the machine's device nodes stay as they are, and work", () => {
    const nodes = ["null", "full", "tty"].map((name) => `/dev/${name}`);
    const metadata = (): unknown => nodes.map((path) => [path, statSync(path).mode, statSync(path).ctimeMs]);
    const before = metadata();
    writeFileSync(
      join(folder.path, "Dockerfile"),
      `FROM base
RUN for f in ${nodes.join(" ")} /proc/timer_list /proc/keys; do [ ! -e $f ] || { chmod 0640 $f; touch -d '2001-01-01 00:00' $f; chown 1:1 $f; chmod 0666 $f; }; done; true
RUN echo x > /dev/null && ! echo x > /dev/full && head -c1 /dev/zero > /dev/null
`,
    );
    const built = kiln("build", "--progress", "plain", folder.path);
    expect({ status: built.status, metadata: metadata() }).toEqual({ status: 0, metadata: before });
  });
});
