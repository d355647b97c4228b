/**
 * What a COPY of a large context costs, in fresh processes as in a build: naming its files by content (cold, unchanged, one
 * file changed) and copying them. `node bench/context.ts [files]`; prints the best of several runs, which is what a busy
 * machine can still say.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runFileOp } from "../solver/ops/file/run-file-op.ts";
import { LocalSource } from "../solver/sources/local/local-source.ts";
import { select } from "../solver/sources/local/select.ts";
import { copySelector } from "../solver/sources/local/selector.ts";
import type { CopyAction } from "../solver/graph/op.ts";
import { locateNative } from "../src/native/locate.ts";

const RUNS = 5;

const action: CopyAction = {
  kind: "copy",
  input: 1,
  source: "",
  wildcard: false,
  destination: "/app/",
  owner: undefined,
  mode: undefined,
  excludes: [],
  parents: false,
  unpack: "never",
  keepOwner: false,
  link: false,
  timestamp: undefined,
};

if (process.argv[2] === "once") await once(process.argv[3] ?? "", process.argv[4] === "copy");
else main(Number(process.argv[2] ?? 10_000));

function main(files: number): void {
  const root = mkdtempSync(join(tmpdir(), "kiln-bench-"));
  try {
    const context = join(root, "context");
    for (let at = 0; at < files; at += 1) {
      const directory = join(context, `d${Math.floor(at / 100)}`);
      if (at % 100 === 0) mkdirSync(directory, { recursive: true });
      writeFileSync(join(directory, `file-${at}.txt`), `file ${at}\n`.repeat(50));
    }
    const measure = (name: string, before: () => void, copy: boolean): void => {
      const times = Array.from({ length: RUNS }, () => {
        before();
        return run(root, copy);
      });
      const best = (pick: "keyMs" | "copyMs"): string => Math.min(...times.map((time) => time[pick])).toFixed(0);
      console.log(`${name.padEnd(24)} key ${best("keyMs")} ms${copy ? `, copy ${best("copyMs")} ms` : ""}`);
    };
    console.log(`${files} files`);
    measure("cold", () => rmSync(join(root, "index"), { force: true }), true);
    run(root, false);
    measure("unchanged", () => {}, false);
    let change = 0;
    measure("one file changed", () => writeFileSync(join(context, "d0/file-0.txt"), `${(change += 1)}`), false);
    const cp = Array.from({ length: RUNS }, () => {
      rmSync(join(root, "cp"), { recursive: true, force: true });
      const start = performance.now();
      spawnSync("cp", ["-a", context, join(root, "cp")]);
      return performance.now() - start;
    });
    console.log(`cp -a, to compare        ${Math.min(...cp).toFixed(0)} ms`);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

function run(root: string, copy: boolean): { readonly keyMs: number; readonly copyMs: number } {
  const args = [import.meta.filename, "once", root, copy ? "copy" : "key"];
  const done = spawnSync(process.execPath, args, { encoding: "utf8" });
  if (done.status !== 0) throw new Error(done.stderr);
  return JSON.parse(done.stdout) as { keyMs: number; copyMs: number };
}

async function once(root: string, copy: boolean): Promise<void> {
  const native = locateNative();
  const file = join(root, "index");
  const index = {
    load: () => (existsSync(file) ? readFileSync(file) : undefined),
    save: (bytes: Uint8Array) => writeFileSync(file, bytes),
  };
  const { signal } = new AbortController();
  const start = performance.now();
  // The clock runs ahead so that files written a moment ago do not count as racy.
  const nowNs = (): bigint => (BigInt(Date.now()) + 10_000n) * 1_000_000n;
  using source = new LocalSource({ native, directory: join(root, "context"), index, nowNs });
  const view = source.view([]);
  const selection = await select(view, copySelector(action), signal);
  source.save();
  const keyed = performance.now();
  if (copy) {
    const upper = join(root, "upper");
    rmSync(upper, { recursive: true, force: true });
    mkdirSync(upper);
    const cleared = performance.now();
    await runFileOp(
      { kind: "file", base: "input", actions: [action] },
      { directories: [upper], marks: "trusted", source: () => view, selected: () => selection },
      { native },
      signal,
    );
    console.log(JSON.stringify({ keyMs: keyed - start, copyMs: performance.now() - cleared }));
  } else console.log(JSON.stringify({ keyMs: keyed - start, copyMs: 0 }));
}
