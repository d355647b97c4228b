import { expect, test } from "vitest";
import { table } from "./table.ts";

test("what an image says of itself stays in its cell", () => {
  const rows = [
    ["RUN a\n  b", "1kB"],
    ["\u001b[2J\u009b2J", "2kB"],
  ];
  expect(table(["CREATED BY", "SIZE"], rows)).toEqual([
    "CREATED BY   SIZE",
    "RUN a b      1kB",
    "\ufffd[2J\ufffd2J      2kB",
  ]);
});
