import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["{src,frontend,solver,test,bench}/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 300_000,
    pool: "forks",
    // Tests with real processes, locks and clocks share two processors in CI. A second try is shown in the report, and a
    // test that needs one is a bug to be found, not a reason to throw a whole run away.
    retry: process.env["CI"] ? 1 : 0,
    // CI counts the results from the file.
    reporters: process.env["CI"] ? ["default", ["json", { outputFile: "build/test-results.json" }]] : ["default"],
  },
});
