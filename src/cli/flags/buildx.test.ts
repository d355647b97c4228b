import { describe, expect, test } from "vitest";
import type { Cli } from "../command.ts";
import { createProgram } from "../program.ts";
import { ignoredFlags } from "./accepted.ts";
import { cacheNotices, cacheOptions } from "./cache.ts";
import { readColors } from "./colors.ts";
import { listFormat } from "./format.ts";
import { outputSpecs } from "./outputs.ts";
import { ignoredVariables } from "./variables.ts";

/**
 * The fate of each flag and variable that docker buildx documents. `works`: it has its effect; `said`: it has none, and
 * one line says so; `refused`: the build does not start; `nothing`: it asks for what kiln does or leaves out anyway.
 */
type Fate = "works" | "said" | "refused" | "nothing";

const FLAGS: Readonly<Record<string, Fate>> = {
  // docker buildx build --help
  ...{ "add-host": "works", allow: "works", annotation: "works", attest: "works", "build-arg": "works" },
  ...{ "build-context": "works", builder: "said", "cache-from": "works", "cache-to": "works", call: "works" },
  ...{ "cgroup-parent": "works", check: "works", debug: "said", file: "works", iidfile: "works", label: "works" },
  ...{ load: "works", "metadata-file": "works", network: "works", "no-cache": "works", "no-cache-filter": "works" },
  ...{ output: "works", platform: "works", progress: "works", provenance: "works", pull: "works", push: "works" },
  ...{ quiet: "works", sbom: "works", secret: "works", "shm-size": "works", ssh: "works", tag: "works" },
  ...{ target: "works", ulimit: "works", resource: "works", policy: "refused" },
  // hidden or experimental
  ...{ print: "works", detach: "said", invoke: "said", on: "said", "server-config": "said", device: "refused" },
  // of the classic builder
  ...{ compress: "nothing", rm: "nothing", "force-rm": "nothing", "disable-content-trust": "nothing" },
  ...{ isolation: "said", "security-opt": "said", squash: "works", memory: "works", "memory-swap": "works" },
  ...{ "cpu-shares": "works", "cpu-period": "works", "cpu-quota": "works", "cpuset-cpus": "works" },
  ...{ "cpuset-mems": "works" },
};

/** Flags that are read elsewhere than in `ignoredFlags`: given this, they are refused or have their effect. */
const [BUILD] = (await createProgram({} as Cli, ["build"])).commands;
const OPTIONS = new Map((BUILD?.options ?? []).map((option) => [(option.long ?? "").slice(2), option]));
/** kiln's own, which buildx has not. */
const OWN = [
  "attest-style",
  "cache-mode",
  "cache-trust",
  "jobs",
  "remote",
  "remote-header",
  "remote-cert",
  "remote-key",
  "remote-ca",
  "remote-jobs",
  "remote-property",
  "remote-fallback",
  "reproducible",
  "verify",
  "lock",
  "locked",
  "on-error",
  "expect-cached",
  "authfile",
  "explain",
  "summary",
  "artifact",
  "trace",
  "pull-policy",
  "pull-ttl",
  "offline",
];

describe("flags of docker buildx build", () => {
  test.each(Object.entries(FLAGS))("--%s: %s", (name, fate) => {
    expect(OPTIONS.has(name)).toBe(true);
    const key = name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
    const isList = Array.isArray(OPTIONS.get(name)?.defaultValue);
    const value = { attest: "type=provenance", policy: "filename=x" }[name] ?? "true";
    const read = (): string[] => ignoredFlags({ [key]: isList ? [value] : value });
    if (fate === "refused") expect(read).toThrow(/^Cannot (?:apply|give)/);
    else expect(read().length).toBe(fate === "said" ? 1 : 0);
  });

  test("each flag that there is stands in the table", () => {
    const extra = [...OPTIONS.keys()].filter((name) => !Object.hasOwn(FLAGS, name) && !OWN.includes(name));
    expect(extra).toEqual([]);
  });
});

const VARIABLES: Readonly<Record<string, readonly [Fate, value: string]>> = {
  // docs.docker.com, build variables: the client
  BUILDKIT_COLORS: ["works", "run=green"],
  BUILDKIT_HOST: ["said", "tcp://x"],
  BUILDKIT_PROGRESS: ["works", "plain"],
  BUILDKIT_TTY_LOG_LINES: ["works", "8"],
  BUILDX_BAKE_FILE: ["nothing", "x"],
  BUILDX_BAKE_PATH_SEPARATOR: ["nothing", ","],
  BUILDX_BAKE_GIT_AUTH_HEADER: ["nothing", "x"],
  BUILDX_BAKE_GIT_AUTH_TOKEN: ["nothing", "x"],
  BUILDX_BAKE_GIT_SSH: ["nothing", "x"],
  BUILDX_BUILDER: ["said", "x"],
  BUILDX_CONFIG: ["said", "/x"],
  BUILDX_CPU_PROFILE: ["said", "x"],
  BUILDX_EXPERIMENTAL: ["nothing", "1"],
  BUILDX_GIT_CHECK_DIRTY: ["works", "1"],
  BUILDX_GIT_INFO: ["works", "0"],
  BUILDX_GIT_LABELS: ["works", "1"],
  BUILDX_MEM_PROFILE: ["said", "x"],
  BUILDX_METADATA_PROVENANCE: ["works", "max"],
  BUILDX_METADATA_WARNINGS: ["works", "1"],
  BUILDX_NO_DEFAULT_ATTESTATIONS: ["nothing", "1"],
  BUILDX_NO_DEFAULT_LOAD: ["works", "1"],
  BUILDX_NO_DEFAULT_OCI_ARTIFACT: ["said", "1"],
  EXPERIMENTAL_BUILDKIT_SOURCE_POLICY: ["refused", "x"],
  // docker's command line, and what BuildKit's client reads besides
  DOCKER_BUILDKIT: ["said", "0"],
  DOCKER_CONFIG: ["works", "/x"],
  DOCKER_CONTENT_TRUST: ["said", "1"],
  DOCKER_DEFAULT_PLATFORM: ["works", "linux/arm64"],
  NO_COLOR: ["works", "1"],
  OTEL_EXPORTER_OTLP_ENDPOINT: ["works", "http://x"],
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: ["works", "http://x"],
  PROGRESS_NO_TRUNC: ["nothing", "1"],
  SOURCE_DATE_EPOCH: ["works", "0"],
  SSH_AUTH_SOCK: ["works", "/x"],
};

describe("variables of buildx and docker", () => {
  test.each(Object.entries(VARIABLES))("%s: %j", (name, [fate, value]) => {
    expect(ignoredVariables({ [name]: value })).toHaveLength(fate === "said" ? 1 : 0);
    expect(ignoredVariables({ [name]: "" })).toEqual([]);
  });

  test.each([
    { name: "DOCKER_BUILDKIT", value: "1" },
    { name: "DOCKER_CONTENT_TRUST", value: "0" },
  ])("$name=$value asks for what is done anyway", ({ name, value }) => {
    expect(ignoredVariables({ [name]: value })).toEqual([]);
  });
});

test.each([
  { text: "run=green", colors: { run: "32" }, notices: 0 },
  {
    text: "run=green:error=255,0,1:cancel=yellow",
    colors: { run: "32", error: "38;2;255;0;1", cancel: "33" },
    notices: 0,
  },
  { text: "RUN=Light-Blue:warning=default", colors: { run: "94", warning: "39" }, notices: 0 },
  { text: "", colors: {}, notices: 0 },
  { text: "run=nocolour:x=red:error=1,2:cancel=1,2,300:warning", colors: {}, notices: 5 },
  { text: "run=constructor", colors: {}, notices: 1 },
])("BUILDKIT_COLORS=$text", ({ text, colors, notices }) => {
  const read = readColors(text);
  expect(read.colors).toEqual(colors);
  expect(read.notices).toHaveLength(notices);
});

test.each([
  { from: "type=local,src=d,tag=a", to: "type=local,dest=d", said: 1 },
  { from: "type=local,src=d,digest=sha256:0", to: "type=local,dest=d,tag=b", said: 2 },
  { from: "type=s3,bucket=b,region=r,mode=max", to: "type=s3,bucket=b,region=r,mode=max", said: 1 },
  {
    from: "type=registry,ref=a,mode=max,ignore-error=true",
    to: "type=registry,ref=a,mode=max,ignore-error=true",
    said: 2,
  },
  { from: "app:cache", to: "type=registry,ref=app:cache,image-manifest=true,oci-mediatypes=true", said: 2 },
])("--cache-from $from --cache-to $to", ({ from, to, said }) => {
  expect(cacheNotices({ cacheFrom: [from], cacheTo: [to] })).toHaveLength(said);
  expect(cacheOptions({ from: [from], to: [to], mode: undefined, trust: [] }).from).toHaveLength(1);
});

test("BUILDX_NO_DEFAULT_LOAD keeps no image where no output is named", () => {
  const flags = { outputs: [], load: undefined, push: false, annotations: [], noDefaultLoad: true };
  expect(outputSpecs(flags)).toEqual([{ kind: "cacheonly" }]);
  expect(outputSpecs({ ...flags, load: "store" })).toMatchObject([{ kind: "image", store: true }]);
});

test("--format is table, json or a template", async () => {
  const kinds = await Promise.all([undefined, "", "table", "json", "{{.ID}}", "table {{.ID}}"].map(listFormat));
  expect(kinds.map(({ kind }) => kind)).toEqual(["table", "table", "table", "json", "template", "aligned"]);
  await expect(listFormat("wide")).rejects.toThrow('Cannot use --format "wide"');
});
