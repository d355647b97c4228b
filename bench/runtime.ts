import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { cannotRun, Sandbox } from "../solver/runtime/testing.ts";

/*
 * Measures one RUN of a trivial command: `driver` is the whole call as the solver sees it, `start` the part of it
 * until the command's first instruction (overlay mounted, namespaces made, filter installed), measured by a command
 * that prints the machine's clock. Prints medians and minima in milliseconds as JSON. Minima show the cost itself,
 * medians include the machine's other work.
 */
const reason = cannotRun();
if (reason !== undefined) {
  console.error(`bench/runtime: ${reason}`);
  process.exit(1);
}

const ROUNDS = 200;
using box = new Sandbox();
const lowers = Array.from({ length: 20 }, (_, index) => join(box.directory, `layer-${index}`));
for (const lower of lowers) mkdirSync(lower);

const sorted = (values: readonly number[]): { readonly median: number; readonly min: number } => {
  const inOrder = values.toSorted((a, b) => a - b);
  return { median: +(inOrder[values.length >> 1] ?? NaN).toFixed(2), min: +(inOrder[0] ?? NaN).toFixed(2) };
};
const signal = new AbortController().signal;

for (const { name, change } of [
  { name: "one layer", change: () => ({}) },
  { name: "21 layers", change: () => ({ root: box.overlay([...lowers, box.base]).mount }) },
  { name: "no network", change: () => ({ network: "none" as const }) },
]) {
  const driver: number[] = [];
  const start: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const quick = box.request({ argv: ["/bin/true"], ...change() });
    const from = performance.now();
    // Deliberately sequential: this measures the latency of one RUN.
    // oxlint-disable-next-line no-await-in-loop
    await box.runtime.run(quick, signal);
    driver.push(performance.now() - from);

    let told = "";
    const stdio = {
      kind: "pipes" as const,
      onOutput: (_: string, chunk: Uint8Array) => void (told += Buffer.from(chunk).toString()),
    };
    // The clock of /proc/uptime has hundredths; `date` of busybox has seconds only, adjtimex microseconds.
    const clock = box.request({ argv: ["/bin/adjtimex"], stdio, ...change() });
    const wall = performance.timeOrigin + performance.now();
    // oxlint-disable-next-line no-await-in-loop
    await box.runtime.run(clock, signal);
    const seconds = Number(/tv_sec: +(\d+)/.exec(told)?.[1]);
    const micros = Number(/tv_usec: +(\d+)/.exec(told)?.[1]);
    start.push(seconds * 1000 + micros / 1000 - wall);
  }
  console.log(JSON.stringify({ bench: "runtime", name: `spawn to exec of true, ${name}`, ...sorted(start) }));
  console.log(JSON.stringify({ bench: "runtime", name: `RUN true, ${name}`, ...sorted(driver) }));
}
