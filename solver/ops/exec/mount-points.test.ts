import { mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { ExecMount } from "../../graph/op.ts";
import { leaveMountPoints, mountPointsOf } from "./mount-points.ts";

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

test.each([
  { targets: [], points: ["/dev", "/proc", "/sys"] },
  { targets: ["/device/x", "/a/dev/x"], points: ["/dev", "/proc", "/sys"] },
  { targets: ["/dev/pipes"], points: ["/proc", "/sys"] },
  { targets: ["/dev/shm/x", "/sys/y"], points: ["/proc"] },
])("with mounts on $targets a command leaves $points", ({ targets, points }) => {
  const mounts = targets.map((target): ExecMount => ({ type: "tmpfs", target, sizeBytes: undefined }));
  expect(mountPointsOf({ mounts })).toEqual(points);
});
