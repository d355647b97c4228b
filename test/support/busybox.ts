import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { BuildEnvironment } from "../../src/engine/environment.ts";
import { Engine } from "../../src/engine/engine.ts";
import { importImage } from "../../src/engine/images/import-image.ts";

const BUSYBOX = ["/bin/busybox", "/usr/bin/busybox"].find((path) => existsSync(path));
const APPLETS =
  "cat chmod chown cp echo env false find grep id ln ls mkdir mknod mv pwd readlink rm sed sh sleep stat touch true".split(
    " ",
  );

/** The reason why tests here have no busybox image; `undefined` when there is one. */
export const noBusybox: string | undefined =
  BUSYBOX === undefined ? "needs busybox (Debian: apt-get install busybox-static)" : undefined;

/** Makes `busybox:latest` in the environment's store, from this machine's busybox. */
export async function importBusybox(environment: BuildEnvironment): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), "kiln-busybox-"));
  try {
    for (const directory of ["bin", "etc", "tmp", "root"]) await mkdir(join(root, directory));
    await copyFile(BUSYBOX ?? "", join(root, "bin/busybox"));
    for (const applet of APPLETS) await symlink("busybox", join(root, "bin", applet));
    await writeFile(join(root, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n");
    await writeFile(join(root, "etc/group"), "root:x:0:\nuser:x:1000:\n");
    await using engine = new Engine(environment, { progress: () => {} });
    await importImage(
      engine,
      {
        source: root,
        tags: ["busybox"],
        changes: ['CMD ["sh"]'],
        message: "busybox for tests",
        platform: environment.platform,
      },
      new AbortController().signal,
    );
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

/** Writes a context from file contents by path. */
export async function writeFiles(directory: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), text);
  }
}
