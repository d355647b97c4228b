/**
 * Measures the cost of a COPY of a large context, in fresh processes as in a build: digesting its files (cold,
 * unchanged, one file changed), copying them into files, and writing them as a tar. `node bench/context.ts [files]`
 * prints the best of several runs, the most stable figure on a busy machine.
 */
import { spawnSync } from "node:child_process";
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync } from "node:fs";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runFileOp } from "../solver/ops/file/run-file-op.ts";
import { LocalSource } from "../solver/sources/local/local-source.ts";
import { select } from "../solver/select/select.ts";
import { copySelector } from "../solver/select/selector.ts";
import { describeCopy } from "../solver/ops/file/described-copy.ts";
import { MergedTree } from "../lib/tree/merged-tree.ts";
import type { FileOp } from "../solver/graph/op.ts";
import { plainCopy } from "../solver/graph/plain-copy.ts";
import { locateNative } from "../lib/native/locate.ts";
import { writeLayer } from "../lib/tar/write-layer.ts";

const RUNS = 5;

const action = plainCopy({ input: 1, source: "", destination: "/app/", keepOwner: false });

type Work = "key" | "copy" | "write";
interface Times {
  readonly keyMs: number;
  readonly workMs: number;
}

if (process.argv[2] === "once") await once(process.argv[3] ?? "", (process.argv[4] ?? "key") as Work);
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
    const measure = (name: string, before: () => void, work: Work): void => {
      const times = Array.from({ length: RUNS }, () => {
        before();
        return run(root, work);
      });
      const best = (pick: keyof Times): string => Math.min(...times.map((time) => time[pick])).toFixed(0);
      console.log(
        `${name.padEnd(24)} key ${best("keyMs")} ms${work === "key" ? "" : `, ${work} ${best("workMs")} ms`}`,
      );
    };
    const forget = (): void => rmSync(join(root, "index"), { force: true });
    let change = 0;
    const changeOne = (): void => writeFileSync(join(context, "d0/file-0.txt"), `${(change += 1)}`);
    console.log(`${files} files`);
    measure("cold", forget, "copy");
    measure("cold", forget, "write");
    run(root, "key");
    measure("unchanged", () => {}, "key");
    measure("one file changed", changeOne, "write");
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

function run(root: string, work: Work): Times {
  const args = [import.meta.filename, "once", root, work];
  const done = spawnSync(process.execPath, args, { encoding: "utf8" });
  if (done.status !== 0) throw new Error(done.stderr);
  return JSON.parse(done.stdout) as Times;
}

async function once(root: string, work: Work): Promise<void> {
  const native = locateNative();
  const file = join(root, "index");
  const index = {
    load: () => (existsSync(file) ? readFileSync(file) : undefined),
    save: (bytes: Uint8Array) => writeFileSync(file, bytes),
  };
  const { signal } = new AbortController();
  const upper = join(root, "upper");
  rmSync(upper, { recursive: true, force: true });
  mkdirSync(upper);
  const start = performance.now();
  // The clock runs ahead so that files written a moment ago do not count as racy.
  const nowNs = (): bigint => (BigInt(Date.now()) + 10_000n) * 1_000_000n;
  using source = new LocalSource({ native, directory: join(root, "context"), index, nowNs });
  const view = source.view([]);
  const selection = await select(view, copySelector(action), signal);
  source.save();
  const keyed = performance.now();
  const op: FileOp = { kind: "file", base: "input", actions: [action] };
  if (work === "copy") {
    await runFileOp(
      op,
      { directories: [upper], marks: "trusted", source: () => view, selected: () => selection },
      { native },
      signal,
    );
  } else if (work === "write") {
    using tree = new MergedTree({ native, directories: [upper], marks: "trusted" });
    using copy = describeCopy(op, { tree, view, selection, nowNs: nowNs() });
    if (copy === undefined) throw new Error("the copy cannot be described");
    const fd = openSync(join(root, "layer.new"), "w");
    await writeLayer(native, copy, { fd, earlier: join(root, "layer") }, signal);
    closeSync(fd);
    renameSync(join(root, "layer.new"), join(root, "layer"));
  }
  console.log(JSON.stringify({ keyMs: keyed - start, workMs: performance.now() - keyed }));
}
