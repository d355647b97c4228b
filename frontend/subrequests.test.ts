import { expect, test } from "vitest";
import { subrequestsJson, subrequestsText } from "./subrequests.ts";

test("lists the sub-requests as a table", () => {
  expect(subrequestsText()).toBe(
    [
      "NAME                 VERSION DESCRIPTION",
      "outline              1.0.0   List all parameters current build target supports",
      "targets              1.0.0   List all targets current build supports",
      "lint                 1.0.0   Lint a Dockerfile",
      "subrequests.describe 1.0.0   List available subrequest types",
      "",
    ].join("\n"),
  );
});

test("lists the sub-requests as JSON, with the members that clients read", () => {
  expect(subrequestsJson()).toContainEqual({
    name: "frontend.outline",
    version: "1.0.0",
    type: "rpc",
    description: "List all parameters current build target supports",
    opts: [{ name: "target", description: "Target build stage" }],
    inputs: null,
    metadata: [
      { name: "result.json", description: "" },
      { name: "result.txt", description: "" },
    ],
    refs: null,
  });
});
