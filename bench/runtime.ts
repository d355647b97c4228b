import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { cannotRun, Sandbox } from "../solver/runtime/testing.ts";

/*
 * What one RUN of a trivial command costs: `driver` is the whole call as the solver sees it, `sandbox` the time from
 * making the namespaces to the death of the last process. Prints medians in milliseconds as JSON.
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

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;
const signal = new AbortController().signal;

for (const { name, change } of [
  { name: "true, one layer", change: () => ({}) },
  { name: "true, 21 layers", change: () => ({ root: box.overlay([...lowers, box.base]).mount }) },
  { name: "true, no network", change: () => ({ network: "none" as const }) },
]) {
  const driver: number[] = [];
  const sandbox: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const request = box.request(change());
    const start = performance.now();
    // Deliberately one after the other: this is the latency of a step.
    // oxlint-disable-next-line no-await-in-loop
    const result = await box.runtime.run(request, signal);
    driver.push(performance.now() - start);
    sandbox.push(result.wallMs);
  }
  console.log(
    JSON.stringify({
      bench: "runtime",
      name,
      driverMs: +median(driver).toFixed(2),
      sandboxMs: +median(sandbox).toFixed(2),
    }),
  );
}
