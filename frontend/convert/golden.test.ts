import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Conversion } from "./conversion.ts";
import { convert, historyOf, verticesOf, warningsOf } from "./convert.fixture.ts";

const FOLDER = join(import.meta.dirname, "../../testdata/convert");
const ARM64 = { os: "linux", architecture: "arm64" };

/** Everything a conversion says, for reading. Vertices are numbered; inputs are shown by number. */
function describe(conversion: Conversion): string {
  const vertices = verticesOf(conversion);
  const steps = vertices.map((vertex, at) => {
    const meta = conversion.meta.get(vertex.digest);
    const inputs = vertex.inputs.map((input) => `#${vertices.indexOf(input)}`).join(" ");
    return `#${at} ${meta?.name ?? "(internal)"}\n   inputs: ${inputs}\n   ${JSON.stringify(vertex.op)}\n`;
  });
  const sections = [steps.join(""), JSON.stringify(conversion.image, undefined, 2), historyOf(conversion).join("\n")];
  return `${[...sections, warningsOf(conversion).join("\n")].join("\n----\n")}\n`;
}

test.each([
  { name: "node-app", options: { buildArgs: new Map([["GIT_SHA", "abc"]]) } },
  { name: "multi-platform", options: { targetPlatform: ARM64, multiPlatform: true } },
  { name: "kitchen-sink", options: {} },
])("converts $name as reviewed", async ({ name, options }) => {
  const conversion = await convert(await readFile(join(FOLDER, name, "Dockerfile"), "utf8"), options);
  await expect(describe(conversion)).toMatchFileSnapshot(join(FOLDER, name, "expected.txt"));
});

/** Processor time of converting as many instructions of each kind, in milliseconds: the best of some runs. */
async function costOf(text: (count: number) => string, count: number): Promise<number> {
  const dockerfile = text(count);
  let best = Number.POSITIVE_INFINITY;
  for (let run = 0; run < 3; run += 1) {
    const start = process.cpuUsage();
    await convert(dockerfile);
    const { user, system } = process.cpuUsage(start);
    best = Math.min(best, (user + system) / 1000);
  }
  return best;
}

test.each([
  {
    name: "instructions of one stage",
    text: (count: number) =>
      `FROM busybox\n${Array.from({ length: count }, (_, n) => `RUN make ${n}\nCOPY a${n} /b\nENV V${n % 50}=${n}\nLABEL l${n}=x\n`).join("")}`,
  },
  {
    name: "stages, each on the one before",
    text: (count: number) =>
      `FROM busybox AS s0\n${Array.from({ length: count }, (_, n) => `FROM s${n} AS s${n + 1}\nRUN make ${n}\n`).join("")}`,
  },
])("eight times as many $name cost little more than eight times as much", async ({ text }) => {
  const few = await costOf(text, 250);
  const many = await costOf(text, 2000);
  // Quadratic work costs 64 times as much.
  expect(many / few).toBeLessThan(20);
});

test("all of ten thousand instructions are converted", async () => {
  const lines = Array.from(
    { length: 2500 },
    (_, n) => `RUN make ${n}\nCOPY a${n} /b\nENV V${n % 50}=${n}\nLABEL l${n}=x\n`,
  );
  const conversion = await convert(`FROM busybox\n${lines.join("")}`);
  expect([conversion.history.length, conversion.meta.size]).toEqual([10_001, 5_002]);
});
