import { mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { leaveMountPoints } from "./mount-points.ts";

test("missing mount points are made with a fixed date, and what the command made is left alone", () => {
  const layer = mkdtempSync(join(tmpdir(), "kiln-mount-points-"));
  try {
    symlinkSync("/nowhere", join(layer, "sys"));
    mkdirSync(join(layer, "proc"), { mode: 0o700 });
    leaveMountPoints(layer, ["/dev", "/proc", "/sys"]);
    const dev = statSync(join(layer, "dev"));
    expect({ mode: dev.mode & 0o7777, mtimeMs: dev.mtimeMs }).toEqual({ mode: 0o755, mtimeMs: 0 });
    expect(statSync(join(layer, "proc")).mode & 0o7777).toBe(0o700);
  } finally {
    rmSync(layer, { recursive: true });
  }
});
