import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { O_DIRECTORY, O_PATH } from "../../lib/native/constants.ts";
import { locateNative } from "../../lib/native/locate.ts";
import { markOpaque } from "../../lib/tree/overlay-marks.ts";
import { listing, SKIP_UNLESS_ROOT } from "../ops/file/testing.ts";
import { dropUnchanged } from "./unchanged.ts";

const native = locateNative();

/** Two layers, the lower first; all times are old. */
const LAYERS = [
  "mkdir -p d/e o/p && echo a > d/a && echo b > d/e/b && ln -s a d/l && echo one > o/a && ln o/a o/b && echo p > o/p/p && ln -s /etc abs",
  "mkdir -p d/e2 && echo second > d/second && echo c > d/e2/c",
];

test.skipIf(SKIP_UNLESS_ROOT !== false).each([
  { does: ": >> d/a", keeps: [] },
  { does: ": >> d/e/b && : >> d/second && chown 0:0 d/e2/c", keeps: [] },
  {
    does: "chown -R 0:0 d o",
    keeps: ["d d 755 0:0", "l d/l a 0:0", "d o 755 0:0", "f o/a 644 0:0 =one\n", "f o/b 644 0:0 =one\n"],
  },
  { does: "chmod 755 d && chmod 644 d/a", keeps: [] },
  { does: "echo x > d/a", keeps: ["d d 755 0:0", "f d/a 644 0:0 =x\n"] },
  { does: "echo x > d/a && touch -d @1000000000 d/a", keeps: ["d d 755 0:0", "f d/a 644 0:0 =x\n"] },
  { does: "chmod 600 d/a", keeps: ["d d 755 0:0", "f d/a 600 0:0 =a\n"] },
  { does: "touch d/a", keeps: ["d d 755 0:0", "f d/a 644 0:0 =a\n"] },
  { does: "touch -d @5 d/a", keeps: ["d d 755 0:0", "f d/a 644 0:0 =a\n"] },
  { does: "touch d", keeps: ["d d 755 0:0"] },
  { does: "mv d/a d/n", keeps: ["d d 755 0:0", "w d/a", "f d/n 644 0:0 =a\n"] },
  { does: "rm -r d/e && mkdir d/e && touch -d @1000000000 d/e", keeps: ["d d 755 0:0", "o d/e 755 0:0"] },
  {
    does: "mv d/e/b b && rm -r d/e && mkdir d/e && mv b d/e/b",
    keeps: ["d d 755 0:0", "o d/e 755 0:0", "f d/e/b 644 0:0 =b\n"],
  },
  { does: "ln d/a d/n", keeps: ["d d 755 0:0", "f d/a 644 0:0 =a\n", "h d/n d/a"] },
])("a layer has what is different, and nothing else: $does", ({ does, keeps }) => {
  const directory = mkdtempSync(join(tmpdir(), "kiln-unchanged-"));
  try {
    const lowers = LAYERS.map((script, index) => {
      const path = join(directory, `layer${index}`);
      mkdirSync(path);
      sh(path, `${script} && find . -exec touch -h -d @1000000000 {} +`);
      return path;
    }).toReversed();
    const [upper, work, merged] = [join(directory, "upper"), join(directory, "work"), join(directory, "merged")];
    for (const path of [upper, work, merged]) mkdirSync(path);
    const options = `lowerdir=${lowers.join(":")},upperdir=${upper},workdir=${work},index=off,metacopy=off,redirect_dir=nofollow`;
    const mount = ["-m", "sh", "-ec", `mount -t overlay o -o ${options} "$0" && cd "$0" && umask 022 && eval "$1"`];
    execFileSync("unshare", [...mount, merged, does]);

    dropUnchanged(upper, { native, marks: "trusted", lowers });
    expect(listing(native, upper)).toEqual(keeps);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test.skipIf(SKIP_UNLESS_ROOT !== false).each([
  { name: "an opaque directory in between", middle: "mkdir d", opaque: "d" },
  { name: "a whiteout in between", middle: "mkdir d && mknod d/a c 0 0" },
  { name: "a whiteout of its directory", middle: "mknod d c 0 0" },
  { name: "a link in place of its directory", middle: "ln -s o d" },
])("a file is not compared with what is hidden: $name", ({ middle, opaque }) => {
  const directory = mkdtempSync(join(tmpdir(), "kiln-unchanged-"));
  try {
    const [lowest, between, upper] = [join(directory, "0"), join(directory, "1"), join(directory, "2")];
    const equal = "mkdir d && echo a > d/a && find . -exec touch -h -d @1000000000 {} +";
    for (const [path, script] of [
      [lowest, `mkdir o && cp /dev/null o/x && ${equal}`],
      [between, middle],
      [upper, equal],
    ] as const) {
      mkdirSync(path);
      sh(path, script);
    }
    mark(between, opaque, (fd, path) => markOpaque(native, fd, path, "trusted"));
    mark(upper, "d/a", (fd, path) => native.setXattr(fd, path, "trusted.overlay.origin", Buffer.from("x")));
    dropUnchanged(upper, { native, marks: "trusted", lowers: [between, lowest] });
    expect(listing(native, upper)).toEqual(["d d 755 0:0", "f d/a 644 0:0 =a\n"]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

function sh(cwd: string, script: string): void {
  execFileSync("sh", ["-ec", `umask 022; ${script}`], { cwd });
}

function mark(directory: string, path: string | undefined, set: (fd: number, path: string) => void): void {
  if (path === undefined) return;
  const fd = native.openPath(directory, O_PATH | O_DIRECTORY);
  set(fd, path);
  native.close(fd);
}
