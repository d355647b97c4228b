import { expect, test } from "vitest";
import { parseImageConfig, serializeImageConfig } from "./image-config.ts";

const parse = (json: unknown): ReturnType<typeof parseImageConfig> =>
  parseImageConfig(Buffer.from(JSON.stringify(json)), '"test"');
const print = (config: Parameters<typeof serializeImageConfig>[0]): string =>
  Buffer.from(serializeImageConfig(config)).toString();

const DIGEST = `sha256:${"a".repeat(64)}`;

test("members come out sorted, those of config in Docker's order, and unknown ones survive", () => {
  const config = parse({
    os: "linux",
    architecture: "amd64",
    zeta: { kept: true },
    config: { WorkingDir: "/", Labels: { b: "1", a: "<&>" }, Env: ["A=1"], User: "", Cmd: null },
    rootfs: { type: "layers", diff_ids: [DIGEST] },
    history: [{ comment: "x", created_by: "RUN", empty_layer: false }],
    created: "2024-01-01T00:00:00Z",
  });
  expect(print(config)).toBe(
    '{"architecture":"amd64","config":{"Env":["A=1"],"WorkingDir":"/","Labels":{"a":"\\u003c\\u0026\\u003e","b":"1"}},' +
      '"created":"2024-01-01T00:00:00Z","history":[{"created_by":"RUN","comment":"x"}],"os":"linux",' +
      `"rootfs":{"type":"layers","diff_ids":["${DIGEST}"]},"zeta":{"kept":true}}`,
  );
});

test("what was written is read again as it was", () => {
  const config = parse({
    os: "linux",
    architecture: "arm64",
    variant: "v8",
    config: { Healthcheck: { Test: ["CMD", "x"], Interval: 1 }, ExposedPorts: { "80/tcp": {} }, OnBuild: ["RUN x"] },
    rootfs: { type: "layers", diff_ids: [] },
  });
  expect(parseImageConfig(serializeImageConfig(config), '"test"')).toEqual(config);
});

test.each([
  { name: "no object", json: [], why: "it is not a JSON object" },
  { name: "a list that is text", json: { config: { Env: "A=1" } }, why: "config.Env is not a list of strings" },
  { name: "a number as user", json: { config: { User: 1 } }, why: "config.User is not a string" },
  { name: "a broken diffID", json: { rootfs: { diff_ids: ["x"] } }, why: "rootfs.diff_ids holds something" },
  {
    name: "a broken health check",
    json: { config: { Healthcheck: { Interval: "1s" } } },
    why: "config.Healthcheck.Interval is not a whole number",
  },
])("$name is refused, and the member named", ({ json, why }) => {
  expect(() => parse(json)).toThrow(`Cannot read the configuration of "test": ${why}`);
});

test("a configuration nested too deeply to be written again is refused", () => {
  const deep = `{"os":"linux","x":${"[".repeat(100_000)}${"]".repeat(100_000)}}`;
  expect(() => parseImageConfig(Buffer.from(deep), '"test"')).toThrowError(
    /Cannot read the configuration of "test": .*deep/,
  );
});
