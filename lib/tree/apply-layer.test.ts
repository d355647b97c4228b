import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { O_DIRECTORY, O_PATH } from "../native/constants.ts";
import { locateNative } from "../native/locate.ts";
import { applyLayer } from "./apply-layer.ts";

const signal = new AbortController().signal;
const native = locateNative();

/** The access control list u::rwx,u:7:rwx,g::r-x,m::rwx,o::r-x in the kernel's form. */
const LIST = Buffer.concat([
  Buffer.from([2, 0, 0, 0]),
  ...[
    [1, 7, 0xffffffff],
    [2, 7, 7],
    [4, 5, 0xffffffff],
    [16, 7, 0xffffffff],
    [32, 5, 0xffffffff],
  ].map(([tag = 0, rights = 0, id = 0]) => {
    const entry = Buffer.alloc(8);
    entry.writeUInt16LE(tag, 0);
    entry.writeUInt16LE(rights, 2);
    entry.writeUInt32LE(id, 4);
    return entry;
  }),
]);

function sh(cwd: string, script: string): string {
  const { status, stdout, stderr } = spawnSync("sh", ["-ec", `umask 022; ${script}`], { cwd, encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
  return stdout;
}

/** Owners, modes and names of attributes of everything in a directory. */
function shown(folder: string): readonly string[] {
  const fd = native.openPath(folder, O_PATH | O_DIRECTORY);
  try {
    const lines = sh(folder, "find . -printf '%p %U:%G %m\\n' | sort").trim().split("\n");
    return lines.map((line) => `${line} ${native.listXattrs(fd, line.replace(/ .*/, "")).toSorted().join(" ")}`);
  } finally {
    native.close(fd);
  }
}

test.skipIf(process.getuid?.() !== 0).each([
  {
    name: "files of another group than their set-gid directory",
    tree: "mkdir d && chgrp 50 d && chmod 2775 d && echo a > d/a && chgrp 0 d/a",
    layer: "mkdir d && chgrp 50 d && chmod 2775 d && echo n > d/new && echo a > d/a && chgrp 0 d/*",
    attributes: [],
  },
  {
    name: "files without the default list of their directory",
    tree: "mkdir d",
    layer: "mkdir -p d/e && echo n > d/new && mkfifo d/p",
    attributes: ["tree system.posix_acl_default", "layer system.posix_acl_default"],
  },
  {
    name: "a directory that lost its lists and an attribute",
    tree: "mkdir d",
    layer: "mkdir d && echo n > d/new",
    attributes: ["tree system.posix_acl_default", "tree system.posix_acl_access", "tree user.a", "layer user.b"],
  },
])("a tree under one more layer is like the layer: $name", async ({ tree, layer, attributes }) => {
  const folder = mkdtempSync(join(tmpdir(), "kiln-apply-"));
  const fd = native.openPath(folder, O_PATH | O_DIRECTORY);
  try {
    for (const [name, script] of [["tree", tree] as const, ["layer", layer] as const]) {
      mkdirSync(join(folder, name));
      sh(join(folder, name), script);
    }
    for (const one of attributes) {
      const [name = "", key = ""] = one.split(" ");
      native.setXattr(fd, `${name}/d`, key, key.startsWith("user.") ? Buffer.from("1") : LIST);
    }
    const places = { layer: join(folder, "layer"), marks: "trusted", to: join(folder, "tree") } as const;
    await applyLayer(native, places, signal);
    expect(shown(join(folder, "tree"))).toEqual(shown(join(folder, "layer")));
  } finally {
    native.close(fd);
    rmSync(folder, { recursive: true, force: true });
  }
});
