import { expect, test } from "vitest";
import { buildQuery } from "./build-query.ts";

const read = (query: string): ReturnType<typeof buildQuery> => buildQuery(new URLSearchParams(query));
const json = (name: string, value: unknown): string => `${name}=${encodeURIComponent(JSON.stringify(value))}`;

test("without parameters the body's archive is built into the store", () => {
  expect(read("")).toMatchObject({
    isQuiet: false,
    notes: [],
    options: { context: "-", dockerfile: undefined, tags: [], noCache: false, pull: false, limits: {} },
  });
});

test.each([
  ["t=a&t=b:1", { tags: ["a", "b:1"] }],
  ["dockerfile=x/Dockerfile&target=y", { dockerfile: "x/Dockerfile", target: "y" }],
  ["nocache=1&pull=true&squash=1", { noCache: true, pull: true, squash: true }],
  ["nocache=0&pull=false&squash=no&rm=1&forcerm=1", { noCache: false, pull: false, squash: false }],
  [json("buildargs", { A: "1", B: null }), { buildArgs: { A: "1" } }],
  [json("labels", { a: "b" }), { labels: { a: "b" } }],
  ["networkmode=host", { network: "host" }],
  ["networkmode=bridge", { network: "default" }],
  [
    json("extrahosts", ["db:10.0.0.1", "v6:[::1]"]),
    {
      extraHosts: [
        { name: "db", address: "10.0.0.1" },
        { name: "v6", address: "::1" },
      ],
    },
  ],
  ["extrahosts=db:10.0.0.1", { extraHosts: [{ name: "db", address: "10.0.0.1" }] }],
  [json("ulimits", [{ Name: "nofile", Soft: 1, Hard: 2 }]), { ulimits: [{ name: "nofile", soft: 1, hard: 2 }] }],
  [
    "memory=1048576&memswap=-1&cpushares=2&cpuperiod=3&cpuquota=4&cpusetcpus=0-1&cpusetmems=0",
    {
      limits: {
        memoryBytes: 1048576,
        memorySwapBytes: -1,
        cpuShares: 2,
        cpuPeriodUs: 3,
        cpuQuotaUs: 4,
        cpusetCpus: "0-1",
        cpusetMems: "0",
      },
    },
  ],
  ["memory=0&shmsize=0", { limits: {}, shmSizeBytes: undefined }],
  ["shmsize=65536&cgroupparent=/x", { shmSizeBytes: 65536, cgroupParent: "/x" }],
  ["platform=linux/arm64", { platforms: ["linux/arm64"] }],
  ["remote=https://example.org/x.git", { context: "https://example.org/x.git" }],
  ["remote=git@example.org:x.git", { context: "git@example.org:x.git" }],
  [
    "session=abc&buildid=1&isolation=default&outputs=null&securityopt=null&cachefrom=null&version=1&unknown=1",
    { context: "-" },
  ],
])("%s", (query, options) => {
  expect(read(query).options).toMatchObject(options);
});

test.each([
  ["version=2", "serve/unsupported"],
  ["remote=client-session", "serve/unsupported"],
  [json("outputs", [{ Type: "local" }]), "serve/unsupported"],
  ["networkmode=container:x", "serve/unsupported"],
  ["remote=/etc", "serve/request"],
  ["remote=../x", "serve/request"],
  ["remote=file:///etc", "serve/request"],
  ["isolation=hyperv", "serve/request"],
  [json("securityopt", ["x"]), "serve/request"],
  ["buildargs=[", "serve/request"],
  ["buildargs=[]", "serve/request"],
  [json("buildargs", { A: 1 }), "serve/request"],
  ["memory=-5", "serve/request"],
  ["memory=1e99", "serve/request"],
  ["cpusetcpus=x", "serve/request"],
  [json("ulimits", [{}]), "serve/request"],
  [json("extrahosts", ["nonsense"]), "serve/request"],
])("%s is refused as %s", (query, code) => {
  expect(() => read(query)).toThrow(expect.objectContaining({ code }));
});

test("a cache of images is said to be no use, and a build argument may have any name", () => {
  expect(read(json("cachefrom", ["app"])).notes).toHaveLength(1);
  expect(Object.entries(read('buildargs={"__proto__":"x"}').options.buildArgs ?? {})).toEqual([["__proto__", "x"]]);
});
