/** The amounts of load. Every run of the tests takes the short ones, `npm run test:nightly` the whole ones. */
export interface LoadSizes {
  /** Builds on one store at one time. */
  readonly concurrent: number;
  /** Times that they are started together. */
  readonly rounds: number;
  /** Builds one after another in one process. */
  readonly inARow: number;
  /** Lines that a step prints, as fast as it can. */
  readonly lines: number;
  /** Bytes of a line that never ends. */
  readonly lineBytes: number;
  /** Processes that a step leaves running. */
  readonly processes: number;
}

const SHORT: LoadSizes = {
  concurrent: 10,
  rounds: 1,
  inARow: 40,
  lines: 50_000,
  lineBytes: 20_000_000,
  processes: 400,
};

const WHOLE: LoadSizes = {
  concurrent: 40,
  rounds: 5,
  inARow: 2000,
  lines: 1_000_000,
  lineBytes: 300_000_000,
  processes: 10_000,
};

export const isWhole: boolean = process.env["KILN_TEST_LOAD"] === "whole";

export const SIZES: LoadSizes = isWhole ? WHOLE : SHORT;
