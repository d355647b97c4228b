import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["{src,frontend,solver,test,bench}/**/*.test.ts"],
    testTimeout: 30_000,
    hookTimeout: 120_000,
    pool: "forks",
  },
});
