import { expect, test } from "vitest";
import { BuildError } from "../../../lib/core/errors.ts";
import { ignoredFlags } from "./accepted.ts";
import { keyValues, splitCsv } from "./csv.ts";
import { outputNotices, outputSpecs } from "./outputs.ts";
import { resourceLimits } from "./resources.ts";
import { buildArgs, buildContexts, extraHosts, labels, memorySize, secrets, sshAgents, ulimits } from "./values.ts";

const NOTHING = { outputs: [], load: undefined, push: false, annotations: [] };

test.each([
  { text: "a,b", fields: ["a", "b"] },
  { text: 'type=local,"dest=a,b"', fields: ["type=local", "dest=a,b"] },
  { text: '"say ""hi"""', fields: ['say "hi"'] },
  { text: "", fields: [""] },
  { text: "a,", fields: ["a", ""] },
])("$text is split like Go's CSV", ({ text, fields }) => {
  expect(splitCsv(text, "x")).toEqual(fields);
});

test.each([
  {
    name: "build args, bare names from the environment",
    got: buildArgs(["A=1", "B", "C", "D="], { B: "2" }),
    want: { A: "1", B: "2", D: "" },
  },
  { name: "labels, bare names empty", got: labels(["a=b=c", "x"]), want: { a: "b=c", x: "" } },
  { name: "contexts", got: buildContexts(["src=./a=b"]), want: { src: "./a=b" } },
  {
    name: "contexts in place of images",
    got: buildContexts(["docker.io/library/a:latest=1", "host:5000/b:latest=2", "c:1=3", "D d=4"]),
    want: { a: "1", "host:5000/b": "2", "c:1": "3", "D d": "4" },
  },
])("reads $name", ({ got, want }) => {
  expect({ ...got }).toEqual(want);
});

test.each([
  { flag: "id=a,src=f", want: { id: "a", from: "file", path: "f" } },
  { flag: "id=a,source=f", want: { id: "a", from: "file", path: "f" } },
  { flag: "id=a,env=V", want: { id: "a", from: "env", variable: "V" } },
  { flag: "type=env,id=a,src=V", want: { id: "a", from: "env", variable: "V" } },
  { flag: "HERE", want: { id: "HERE", from: "env", variable: "HERE" } },
  { flag: "id=absent", want: { id: "absent", from: "file", path: "absent" } },
  { flag: "type=file,id=HERE", want: { id: "HERE", from: "file", path: "HERE" } },
])("--secret $flag", ({ flag, want }) => {
  expect(secrets([flag], { HERE: "x" })).toEqual([want]);
});

test.each([
  { flag: "db:10.0.0.1", want: { name: "db", address: "10.0.0.1" } },
  { flag: "DB=10.0.0.1", want: { name: "db", address: "10.0.0.1" } },
  { flag: "db=[::1]", want: { name: "db", address: "::1" } },
  { flag: "db:fe80::1", want: { name: "db", address: "fe80::1" } },
])("--add-host $flag", ({ flag, want }) => {
  expect(extraHosts([flag])).toEqual([want]);
});

test.each([
  { text: "64m", bytes: 64 << 20 },
  { text: "1.5g", bytes: 1.5 * 2 ** 30 },
  { text: "512", bytes: 512 },
  { text: "2GiB", bytes: 2 ** 31 },
  { text: "1kb", bytes: 1024 },
])("$text is $bytes bytes", ({ text, bytes }) => {
  expect(memorySize(text, "memory")).toBe(bytes);
});

test("an error names a flag with its dashes and a variable as it is", () => {
  expect(() => memorySize("lots", "memory")).toThrowError(/^Cannot read --memory "lots"/);
  expect(() => memorySize("lots", "KILN_KEEP_STORAGE")).toThrowError(/^Cannot read KILN_KEEP_STORAGE "lots"/);
});

test("resources come from --resource and from the flags of the classic builder", () => {
  expect(resourceLimits(["memory=1g,cpu-quota=50000"], { cpuShares: "512" })).toEqual({
    memoryBytes: 2 ** 30,
    cpuQuotaUs: 50_000,
    cpuShares: 512,
  });
});

test.each([
  { name: "a limit above its hard limit", parse: () => ulimits(["nofile=10:5"]) },
  { name: "a limit that docker does not know either", parse: () => ulimits(["as=1000"]) },
  { name: "an unknown limit", parse: () => ulimits(["nofiles=10"]) },
  { name: "a host without an address", parse: () => extraHosts(["db:nowhere"]) },
  { name: "a size that is none", parse: () => memorySize("lots", "memory") },
  { name: "a build argument without a name", parse: () => buildArgs(["=x"], {}) },
  { name: "a label without a name", parse: () => labels(["=x"]) },
  { name: "a variable that is not UTF-8", parse: () => buildArgs(["A"], { A: "caf\ufffd" }) },
  { name: "a secret without an id", parse: () => secrets(["src=a"], {}) },
  { name: "an unknown secret key", parse: () => secrets(["id=a,file=b"], {}) },
  { name: "an agent that is not there", parse: () => sshAgents(["default"], {}) },
  { name: "an open quote", parse: () => splitCsv('"a', "x") },
  { name: "an unknown resource", parse: () => resourceLimits(["gpu=1"], {}) },
  {
    name: "an unknown attribute of an output",
    parse: () => outputSpecs({ ...NOTHING, outputs: ["type=local,dest=x,a=b"] }),
  },
  { name: "an output without a type", parse: () => outputSpecs({ ...NOTHING, outputs: ["dest=x"] }) },
  {
    name: "a compression level out of range",
    parse: () => outputSpecs({ ...NOTHING, outputs: ["type=oci,dest=x,compression-level=10"] }),
  },
])("$name is a usage error with the flag in it", ({ parse }) => {
  expect(parse).toThrow(BuildError);
  try {
    parse();
  } catch (error) {
    expect(error).toMatchObject({ code: "cli/usage" });
  }
});

test.each([
  { name: "nothing keeps the image in the store", flags: {}, want: [{ kind: "image", store: true, push: false }] },
  {
    name: "--push pushes and keeps",
    flags: { push: true },
    want: [{ kind: "image", store: true, push: true }],
  },
  {
    name: "type=registry pushes and keeps, as with docker",
    flags: { outputs: ["type=registry"] },
    want: [{ kind: "image", store: true, push: true }],
  },
  {
    name: "what is pushed by digest has no name to keep",
    flags: { outputs: ["type=registry,name=a,push-by-digest=true"] },
    want: [{ kind: "image", store: false, push: true }],
  },
  {
    name: "an archive without a place loads",
    flags: { outputs: ["type=docker,context=x"] },
    want: [{ kind: "engine", engine: "docker", context: "x" }],
  },
  {
    name: "--load=podman loads, and keeps too",
    flags: { load: "podman" as const },
    want: [{ kind: "image", store: true }, { kind: "engine" }],
  },
  { name: "--load keeps", flags: { load: "store" as const }, want: [{ kind: "image", store: true, push: false }] },
  {
    name: "a bare path is a directory of files",
    flags: { outputs: ["out"] },
    want: [{ kind: "local", destination: "out" }],
  },
  { name: "- is a tar of files", flags: { outputs: ["-"] }, want: [{ kind: "tar", destination: "-" }] },
  {
    name: "--push turns an image output into a push",
    flags: { outputs: ["type=image,name=a"], push: true },
    want: [{ kind: "image", store: true, push: true }],
  },
  {
    name: "an OCI directory",
    flags: { outputs: ["type=oci,tar=false,dest=d,compression=zstd,compression-level=19"] },
    want: [{ kind: "oci", form: "directory", destination: "d", image: { compression: "zstd", compressionLevel: 19 } }],
  },
])("outputs: $name", ({ flags, want }) => {
  expect(outputSpecs({ ...NOTHING, ...flags })).toMatchObject(want);
});

test.each([
  { flag: "a=b", want: [{ target: "manifest", platform: undefined, key: "a", value: "b" }] },
  { flag: "index:a=b=c", want: [{ target: "index", platform: undefined, key: "a", value: "b=c" }] },
  {
    flag: "index,manifest[linux/amd64]:org.example:a=b",
    want: [
      { target: "index", platform: undefined, key: "org.example:a", value: "b" },
      { target: "manifest", platform: "linux/amd64", key: "org.example:a", value: "b" },
    ],
  },
])("--annotation $flag", ({ flag, want }) => {
  const [spec] = outputSpecs({ ...NOTHING, annotations: [flag] });
  expect(spec).toMatchObject({ image: { annotations: want } });
});

test("keys of key=value lists do not depend on case", () => {
  expect(keyValues("ID=a,Src=b", "x")).toEqual(
    new Map([
      ["id", "a"],
      ["src", "b"],
    ]),
  );
});

const NO_SCANNER = expect.stringContaining("is ignored: kiln lists packages by itself and runs no scanner image");

test.each([
  { name: "--provenance=false", flags: { provenance: "false" }, says: [] },
  { name: "--provenance=mode=disabled", flags: { provenance: "mode=disabled" }, says: [] },
  { name: "--sbom disabled=true", flags: { sbom: "disabled=true" }, says: [] },
  { name: "--attest turned off", flags: { attest: ["type=sbom,disabled=true"] }, says: [] },
  { name: "--sbom", flags: { sbom: "true" }, says: [] },
  { name: "--sbom with a scanner", flags: { sbom: "generator=docker/scout:1" }, says: [NO_SCANNER] },
  { name: "--provenance=mode=max", flags: { provenance: "mode=max" }, says: [] },
  { name: "--attest type=sbom", flags: { attest: ["type=provenance", "type=sbom,generator=x"] }, says: [NO_SCANNER] },
  { name: "--policy disabled=true", flags: { policy: ["disabled=true"] }, says: [] },
  { name: "--builder", flags: { builder: "x" }, says: ["--builder is ignored: kiln builds by itself"] },
])("$name: what is ignored is said", ({ flags, says }) => {
  expect(ignoredFlags(flags)).toEqual(says);
});

test.each([
  { name: "an unknown attestation", flags: { attest: ["type=x"] }, says: 'unknown attestation type "x"' },
  { name: "a policy", flags: { policy: ["filename=a.rego"] }, says: "evaluates no policies" },
])("$name is refused", ({ flags, says }) => {
  expect(() => ignoredFlags(flags)).toThrow(says);
});

test.each([
  { output: "type=image,attestation-inline=false,oci-artifact=true", says: [] },
  {
    output: "type=local,dest=o,attestation-prefix=x",
    says: [expect.stringContaining("attestation-prefix is ignored")],
  },
  { output: "type=image,buildinfo=true", says: [expect.stringContaining("buildinfo is ignored")] },
])("--output $output", ({ output, says }) => {
  expect(outputNotices([output])).toEqual(says);
});

test.each([
  { output: "type=image,prefer-nondist-layers=true", says: "prefer-nondist-layers" },
  { output: "type=local,dst=x", says: 'no attribute "dst"' },
  { output: "type=cacheonly,dest=x", says: "no attribute" },
])("--output $output is refused", ({ output, says }) => {
  expect(() => outputSpecs({ ...NOTHING, outputs: [output] })).toThrow(says);
});

test("--device is refused, as RUN --device is", () => {
  expect(() => ignoredFlags({ device: ["vendor.com/gpu=all"] })).toThrow(/vendor\.com\/gpu=all.*no CDI devices/);
});
