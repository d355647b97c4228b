import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { emulationResult } from "./emulation.ts";

test.each([
  { name: "none", files: {}, ok: false, says: "no emulator is registered" },
  { name: "one that is held open", files: { "qemu-aarch64": "enabled\nflags: OCF\n" }, ok: true, says: "linux/arm64" },
  { name: "one without F", files: { "qemu-arm": "enabled\nflags: OC\n" }, ok: false, says: "without the flag F" },
  { name: "one that is off", files: { "qemu-s390x": "disabled\nflags: F\n" }, ok: false, says: "no emulator" },
  { name: "others", files: { "python3.11": "enabled\nflags: F\n" }, ok: false, says: "no emulator" },
])("emulators: $name", ({ files, ok, says }) => {
  const directory = mkdtempSync(join(tmpdir(), "kiln-binfmt-"));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  const result = emulationResult(directory);
  expect(result).toMatchObject({ ok, detail: expect.stringContaining(says) });
  expect(result.fix === undefined).toBe(ok);
  rmSync(directory, { recursive: true });
});

test("a machine without binfmt_misc has none", () => {
  expect(emulationResult("/nothing/here")).toMatchObject({ ok: false });
});
