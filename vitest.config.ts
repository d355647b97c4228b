import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["{src,frontend,solver,lib,test,bench}/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 300_000,
    pool: "forks",
    // CI counts the results from the file.
    reporters: process.env["CI"] ? ["default", ["json", { outputFile: "build/test-results.json" }]] : ["default"],
  },
});
