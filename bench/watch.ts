/**
 * Measures `kiln watch`: from the save of one file under a last COPY until the new image's id is written, which is after the
 * image is in the store. `node bench/watch.ts [files]` prints the median and the slowest of 20 saves.
 */
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

const SAVES = 20;
const files = Number(process.argv[2] ?? 100);
const root = mkdtempSync(join(tmpdir(), "kiln-bench-watch-"));
const context = join(root, "context");
for (let at = 0; at < files; at += 1) {
  const directory = join(context, `d${Math.floor(at / 100)}`);
  if (at % 100 === 0) mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, `file-${at}.txt`), `file ${at}\n`.repeat(50));
}
writeFileSync(join(context, "Dockerfile"), "FROM scratch\nWORKDIR /app\nCOPY . .\n");
const command = ["--root", join(root, "store"), "watch", "-t", "bench", context];
const child = spawn(join(import.meta.dirname, "../bin/kiln"), command, { stdio: ["ignore", "pipe", "ignore"] });
const times: number[] = [];
try {
  const lines = child.stdout[Symbol.asyncIterator]();
  await lines.next();
  for (let save = 0; save < SAVES; save += 1) {
    // Saves by hand: the watcher is at rest.
    await pause(300);
    const startedMs = performance.now();
    writeFileSync(join(context, "d0/file-0.txt"), `save ${save}\n`);
    await lines.next();
    times.push(performance.now() - startedMs);
  }
} finally {
  child.kill("SIGINT");
  rmSync(root, { recursive: true, force: true });
}
const sorted = times.toSorted((a, b) => a - b);
const text = (value: number | undefined): string => `${(value ?? 0).toFixed(0)} ms`;
console.log(`watch, ${files} files, save to store: median ${text(sorted[SAVES / 2])}, slowest ${text(sorted.at(-1))}`);
