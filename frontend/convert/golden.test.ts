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

test("ten thousand instructions convert without going quadratic", async () => {
  const lines = Array.from(
    { length: 2500 },
    (_, at) => `RUN make ${at}\nCOPY a${at} /b\nENV V${at % 50}=${at}\nLABEL l${at}=x\n`,
  );
  const conversion = await convert(`FROM busybox\n${lines.join("")}`);
  expect([conversion.history.length, conversion.meta.size]).toEqual([10_001, 5_002]);
});
