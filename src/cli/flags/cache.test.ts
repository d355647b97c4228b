import { expect, test } from "vitest";
import { cacheOptions } from "./cache.ts";

const read = (flags: Partial<Parameters<typeof cacheOptions>[0]>): ReturnType<typeof cacheOptions> =>
  cacheOptions({ from: [], to: [], mode: undefined, trust: [], ...flags });

test("references alone are registries", () => {
  const { from, to } = read({ from: ["a/b,c/d"], to: ["a/b"] });
  expect(from.map((one) => one.kind === "registry" && one.ref)).toEqual(["a/b", "c/d"]);
  expect(to).toMatchObject([
    { place: { kind: "registry", ref: "a/b" }, mode: "min", mounts: false, ignoreError: false },
  ]);
});

test("attributes say the rest", () => {
  const { from, to } = read({
    from: ["type=local,src=dir", "type=registry,ref=r:5000/c,registry.insecure=true"],
    to: [
      "type=local,dest=dir,mode=max,mounts=true,compression=zstd,compression-level=19,sign=key,producer=ci",
      "inline",
    ],
  });
  expect(from).toEqual([
    { kind: "local", directory: "dir" },
    { kind: "registry", ref: "r:5000/c", insecure: true },
  ]);
  expect(to).toMatchObject([
    {
      place: { kind: "local", directory: "dir" },
      mode: "max",
      mounts: true,
      compression: "zstd",
      compressionLevel: 19,
    },
    { place: { kind: "inline" } },
  ]);
});

test.each([
  { mode: "read", from: 1, to: 0 },
  { mode: "off", from: 0, to: 0 },
  { mode: "read-write", from: 1, to: 1 },
])("--cache-mode=$mode leaves $from to read and $to to write", ({ mode, from, to }) => {
  const options = read({ from: ["a"], to: ["a"], mode });
  expect([options.from.length, options.to.length]).toEqual([from, to]);
});

test.each([
  { name: "a mode that is none", flags: { mode: "write" } },
  { name: "a type that is none", flags: { to: ["type=azblob"] } },
  { name: "a registry without a reference", flags: { from: ["type=registry"] } },
  { name: "an attribute that is none", flags: { to: ["type=local,dst=a"] } },
  { name: "a level that the compression has not", flags: { to: ["ref=a,compression-level=12"] } },
  { name: "days to keep of a registry", flags: { to: ["ref=a,keep-days=7"] } },
  { name: "no days to keep", flags: { to: ["type=local,dest=a,keep-days=0"] } },
  { name: "a mistake where it has no effect", flags: { to: ["type=local"], mode: "off" } },
])("$name is refused", ({ flags }) => {
  expect(() => read(flags)).toThrowError(expect.objectContaining({ code: "cli/usage" }));
});

test.each([
  { inlineArg: "1", to: [], made: ["inline"] },
  { inlineArg: "true", to: ["type=inline,producer=ci"], made: ["inline"] },
  { inlineArg: "true", to: ["type=local,dest=d"], made: ["local", "inline"] },
  { inlineArg: "0", to: [], made: [] },
  { inlineArg: "", to: [], made: [] },
  { inlineArg: "1", to: [], mode: "read", made: [] },
])("BUILDKIT_INLINE_CACHE=$inlineArg beside $to is a cache in the image: $made", ({ made, ...flags }) => {
  expect(read(flags).to.map(({ place }) => place.kind)).toEqual(made);
});
