import { spawnSync } from "node:child_process";
import { accessSync, constants, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { busyboxRoot, has, kilnBeside, missing, mustKiln, temporary, PROJECT } from "./harness.ts";
import { asPlainUser, cannotBePlain } from "./plain-user.ts";

const HELPERS = ["pasta", "slirp4netns"].filter(has);
const why = missing("busybox") ?? (HELPERS.length === 0 ? "needs pasta or slirp4netns" : undefined) ?? tunIsMissing();
if (why !== undefined) console.warn(`the tests of --network=sandbox are skipped: ${why}`);

function tunIsMissing(): string | undefined {
  try {
    accessSync("/dev/net/tun", constants.R_OK | constants.W_OK);
    return undefined;
  } catch {
    return "needs /dev/net/tun";
  }
}

describe.skipIf(why !== undefined)("a network of the step's own", () => {
  const folder = temporary();
  const store = join(folder.path, "store");
  /** Makes a PATH with one of the helpers. */
  const pathWith = (helper: string): string => {
    const directory = join(folder.path, `only-${helper}`);
    mkdirSync(directory, { recursive: true });
    const found = spawnSync("sh", ["-c", `command -v ${helper}`], { encoding: "utf8" }).stdout.trim();
    if (found !== "") symlinkSync(found, join(directory, helper));
    return directory;
  };
  const context = (lines: readonly string[]): string => {
    const directory = join(folder.path, `context-${lines.join("").length}`);
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, "Dockerfile"), ["FROM base", ...lines].join("\n"));
    return directory;
  };

  beforeAll(() => void mustKiln(store, ["import", busyboxRoot(folder.path), "base"]));
  afterAll(() => folder[Symbol.dispose]());

  test.each(HELPERS)("%s leads out, not to this machine's own ports, and ends with the step", async (helper) => {
    const server = createServer((socket) => socket.end());
    const port = await new Promise<number>((resolve) => {
      server.listen(0, "127.0.0.1", () => {
        const address = server.address();
        resolve(typeof address === "object" && address !== null ? address.port : 0);
      });
    });
    const directory = context([
      "RUN ip route | grep -q ^default && ip link show eth0 && grep -q nameserver /etc/resolv.conf",
      `RUN ! nc -w 2 127.0.0.1 ${port} </dev/null`,
      `RUN ! nc -w 2 "$(ip route | sed -n "s/^default via \\([^ ]*\\).*/\\1/p")" ${port} </dev/null`,
      "USER 33:33",
      "RUN ip route | grep -q ^default",
    ]);
    const run = await kilnBeside(
      store,
      ["build", "--no-cache", "--progress", "plain", "--network", "sandbox", directory],
      {
        env: { PATH: `${pathWith(helper)}:/usr/sbin:/usr/bin:/sbin:/bin` },
      },
    );
    await new Promise((resolve) => server.close(resolve));
    expect(run.stderr).not.toMatch(/ERROR/);
    expect(run.status).toBe(0);
    // Its command line names the descriptor that only our helpers have.
    expect(spawnSync("pgrep", ["-fx", `.*only-${helper}/${helper} .*/proc/self/fd/0.*`]).status).not.toBe(0);
  });

  test.skipIf(cannotBePlain("single") !== undefined).each(["subordinate", "single"] as const)(
    "a step of a plain user with %s ids that needs a low port or a raw socket is run again with one, and that is told once",
    (ids) => {
      if (cannotBePlain(ids) !== undefined) return;
      const own = temporary();
      const directory = context([
        "RUN test ! -e /once && mkdir /once && (nc -l -p 80 -e true </dev/null & p=$!; sleep 0.2; kill -0 $p && kill $p)",
        "RUN ping -c 1 -W 2 127.0.0.1",
        "RUN ! ping -c 1 -W 1 192.0.2.1 || true",
      ]);
      const tar = join(own.path, "base.tar");
      spawnSync("tar", ["-cf", tar, "--owner=0", "--group=0", "-C", busyboxRoot(own.path), "."]);
      spawnSync("chmod", ["-R", "a+rX", folder.path, own.path]);
      const tun = "mount -t tmpfs -o mode=755 t /dev/net && mknod -m 666 /dev/net/tun c 10 200";
      const build = `"$0" import ${tar} base && "$0" build --progress plain ${directory}`;
      const run = asPlainUser(own.path, ids, ["sh", "-c", build, join(PROJECT, "bin/kiln")], tun);
      expect(run.stderr).not.toMatch(/ERROR/);
      expect(run.stderr.match(/WARN: port 80 cannot be had/g)).toHaveLength(1);
      expect(run.stderr).not.toMatch(/WARN: raw sockets/);
      expect(run.status).toBe(0);
      own[Symbol.dispose]();
    },
  );

  test("without a helper the error names the package, and the default network does not need one", async () => {
    const directory = context(["RUN true"]);
    const env = { PATH: pathWith("nothing-of-this-name") };
    const failed = await kilnBeside(store, ["build", "--network", "sandbox", directory], { env, shell: "/bin/sh" });
    expect(failed.stderr).toMatch(/apt-get install passt \(or slirp4netns\)/);
    expect((await kilnBeside(store, ["build", directory], { env, shell: "/bin/sh" })).status).toBe(0);
  });
});
