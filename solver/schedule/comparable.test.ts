import { expect, test } from "vitest";
import { digestOf } from "../../lib/core/digest.ts";
import { reworded } from "./comparable.ts";

test("of thousands of lines that are new, a hundred are looked for among older ones", () => {
  const lines = Array.from({ length: 3000 }, (_, number) => ({
    site: `main RUN ${number}`,
    meta: { instruction: `RUN ${number}` },
  }));
  const keyed = new Map(lines.map((line) => [digestOf(line.site), line]));
  let asked = 0;
  const records = {
    latestBySitePrefix: () => {
      asked += 1;
      return [];
    },
  };
  for (const line of lines) expect(reworded(line, keyed, records, undefined)).toBeUndefined();
  expect(asked).toBe(100);
});
