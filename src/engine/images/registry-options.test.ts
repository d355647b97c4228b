import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { connectionOptions } from "./registry-options.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "kiln-certificates-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test("certificates of SSL_CERT_FILE and of all folders of SSL_CERT_DIR are trusted", () => {
  for (const name of ["one", "two/folder.crt"]) mkdirSync(join(folder, name), { recursive: true });
  for (const [name, text] of [
    ["bundle", "the bundle"],
    ["one/b.crt", "b"],
    ["one/a.pem", "a"],
    ["one/README", "no certificate"],
    ["two/c.cer", "c"],
  ] as const)
    writeFileSync(join(folder, name), text);
  symlinkSync("b.crt", join(folder, "one/0a1b2c3d.0"));
  symlinkSync("/nowhere", join(folder, "one/gone.crt"));
  const directories = ["one", "missing", "two"].map((name) => join(folder, name)).join(":");
  const { ca } = connectionOptions({ SSL_CERT_FILE: join(folder, "bundle"), SSL_CERT_DIR: `${directories}:` });
  expect(ca).toEqual(["the bundle", "a", "b", "c"]);
});
