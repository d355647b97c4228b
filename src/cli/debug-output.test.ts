import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { DEBUG_AREAS, debug } from "../../lib/core/debug.ts";
import { openDebugOutput } from "./debug-output.ts";

/** Returns the output while `work` runs. */
function printed(areas: string | undefined, work: () => void): string {
  const stderr = new PassThrough();
  using _output = openDebugOutput({ env: { KILN_DEBUG: areas }, stderr });
  work();
  return String(stderr.read() ?? "");
}

function tellAll(): void {
  for (const area of DEBUG_AREAS) debug(area, () => `of ${area}`);
}

test.each([
  { areas: "cache", told: ["cache"] },
  { areas: "cache, store", told: ["cache", "store"] },
  { areas: ",cache,,", told: ["cache"] },
  { areas: "*", told: DEBUG_AREAS },
])('"$areas" tells of these areas only, with the time since the start', ({ areas, told }) => {
  const lines = printed(areas, tellAll).trimEnd().split("\n");
  expect(lines.map((line) => line.replace(/^ *\d+\.\d ms /, ""))).toEqual(
    DEBUG_AREAS.filter((area) => told.includes(area)).map((area) => `${area}: of ${area}`),
  );
});

test.each([undefined, "", ","])("%j tells nothing, and makes no texts", (areas) => {
  let made = 0;
  const output = printed(areas, () => debug("cache", () => `text ${(made += 1)}`));
  expect({ output, made }).toEqual({ output: "", made: 0 });
});

test("an area that is not asked for makes no texts", () => {
  let made = 0;
  printed("store", () => debug("cache", () => `text ${(made += 1)}`));
  expect(made).toBe(0);
});

test("an area that there is none of is refused", () => {
  expect(() => printed("cashe", tellAll)).toThrow(
    expect.objectContaining({
      code: "cli/usage",
      message: 'Cannot tell about "cashe", which KILN_DEBUG asks for',
      hint: expect.stringMatching(/^did you mean cache\? the areas are engine, .* \* for all$/) as string,
    }),
  );
});

test("passwords of URLs are covered, control characters shown, and further lines indented", () => {
  const text = "GET https://me:hunter2@host/a\nsecond \u001b[2J line\n";
  expect(printed("*", () => debug("registry", () => text))).toMatch(
    /^ *\d+\.\d ms registry: GET https:\/\/me:\*{7}@host\/a\n {4}second \S+\[2J line\n$/,
  );
});

test("nothing is told after the end", () => {
  const stderr = new PassThrough();
  openDebugOutput({ env: { KILN_DEBUG: "*" }, stderr })[Symbol.dispose]();
  tellAll();
  expect(stderr.read()).toBeNull();
});
