import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";

test("a working directory that was deleted ends no command with a stack", () => {
  const directory = mkdtempSync(join(tmpdir(), "kiln-gone-"));
  try {
    const dev = join(import.meta.dirname, "dev.ts");
    const script = 'mkdir gone && cd gone && rmdir "$PWD" && exec "$0" "$1" --version';
    const ran = spawnSync("sh", ["-c", script, process.execPath, dev], { cwd: directory, encoding: "utf8" });
    expect({ status: ran.status, stderr: ran.stderr }).toEqual({ status: 0, stderr: "" });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
