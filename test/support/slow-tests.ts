import type { Reporter, TestCase } from "vitest/node";

/** A longer test holds up everybody: constants that make it long are injected, or a smaller case shows the same. */
const SLOW_MS = 5000;

/** Names the slowest tests at the end of a run, with their times; nothing when all are fast. */
export default class SlowTests implements Reporter {
  readonly #slow: { readonly name: string; readonly ms: number }[] = [];

  onTestCaseResult(test: TestCase): void {
    const ms = test.diagnostic()?.duration ?? 0;
    if (ms >= SLOW_MS) this.#slow.push({ name: `${test.module.relativeModuleId} > ${test.fullName}`, ms });
  }

  onTestRunEnd(): void {
    if (this.#slow.length === 0) return;
    const lines = this.#slow
      .toSorted((a, b) => b.ms - a.ms)
      .map(({ name, ms }) => ` ${(ms / 1000).toFixed(1).padStart(7)} s  ${name}\n`);
    process.stdout.write(`\n tests over ${SLOW_MS / 1000} s:\n${lines.join("")}`);
  }
}
