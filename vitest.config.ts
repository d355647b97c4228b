import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

const SLOW_TESTS = "./test/support/slow-tests.ts";

export default defineConfig({
  test: {
    include: ["{src,frontend,solver,lib,test,bench}/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 300_000,
    pool: "forks",
    // The default leaves one core out, which on a machine of two is half of it.
    maxWorkers: availableParallelism(),
    // CI counts the results from the file.
    reporters: process.env["CI"]
      ? ["default", SLOW_TESTS, ["json", { outputFile: "build/test-results.json" }]]
      : ["default", SLOW_TESTS],
  },
});
