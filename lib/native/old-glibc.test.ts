import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { locateNative } from "./locate.ts";

/** The release of glibc that Node 24 needs; Debian 10 and Red Hat 8 have it. */
const OLDEST = 28;

test("the addon needs no symbol that came after the glibc of its Node", () => {
  locateNative();
  const bytes = readFileSync(join(import.meta.dirname, "../../build/kiln.node"), "latin1");
  const needed = [...bytes.matchAll(/GLIBC_2\.(\d+)/g)].map((match) => Number(match[1]));
  expect(needed.length).toBeGreaterThan(0);
  expect(Math.max(...needed)).toBeLessThanOrEqual(OLDEST);
});
