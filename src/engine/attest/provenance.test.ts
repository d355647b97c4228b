import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { importBusybox, noBusybox, writeFiles } from "../../../test/support/busybox.ts";
import { cannotRun, testEnvironment } from "../../../test/support/environment.ts";
import { startTestRegistry } from "../../../test/support/registry.ts";
import type { Index, Manifest } from "../../../lib/core/oci.ts";
import { parseOutput } from "../../export/parse-output.ts";
import { build } from "../build.ts";
import type { ProvenanceOptions } from "./provenance-options.ts";

const skip = cannotRun ?? noBusybox;
if (skip !== undefined) console.warn(`skipped: provenance: ${skip}`);

const MAX: ProvenanceOptions = {
  mode: "max",
  version: "v1",
  builderId: "https://ci/7",
  reproducible: false,
  inlineOnly: false,
};

describe.skipIf(skip !== undefined)("provenance", () => {
  const signal = new AbortController().signal;
  let home = "";
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "kiln-provenance-"));
    await importBusybox(testEnvironment(join(home, "store")));
    await mkdir(join(home, "context"));
    await writeFiles(join(home, "context"), {
      a: "a",
      key: "hidden file",
      Dockerfile:
        "FROM busybox AS base\nARG NPM_TOKEN\nARG VERSION\nRUN --mount=type=secret,id=key echo $VERSION > /v\nCOPY a /a\nLABEL v=1\n",
    });
  });
  afterAll(() => rm(home, { recursive: true, force: true }));

  const run = (provenance: ProvenanceOptions, attributes: Readonly<Record<string, string>>, platforms: string[] = []) =>
    build(
      {
        context: join(home, "context"),
        tags: ["team/app:1"],
        platforms,
        buildArgs: { NPM_TOKEN: "hunter2-hunter2", VERSION: "1.2" },
        labels: { owner: "me" },
        secrets: [{ id: "key", from: "file", path: join(home, "context/key") }],
        outputs: [parseOutput(new Map(Object.entries(attributes)))],
        provenance,
      },
      testEnvironment(join(home, "store")),
      signal,
    );

  /** The statement of an OCI directory's only image, and what leads to it. */
  const read = async (dest: string) => {
    const blob = async (digest: string): Promise<string> =>
      readFile(join(dest, "blobs/sha256", digest.replace("sha256:", "")), "utf8");
    const top = JSON.parse(await readFile(join(dest, "index.json"), "utf8")) as Index;
    const index = JSON.parse(await blob(top.manifests[0]?.digest ?? "")) as Index;
    const [image, about] = index.manifests;
    const manifest = JSON.parse(await blob(about?.digest ?? "")) as Manifest;
    const text = await blob(manifest.layers[0]?.digest ?? "");
    return { image, about, manifest, text, statement: JSON.parse(text) as unknown };
  };

  test("goes beside the image as an attestation manifest that an index lists", async () => {
    const dest = join(home, "max");
    await run(MAX, { type: "oci", tar: "false", dest });
    const { image, about, manifest, statement } = await read(dest);
    expect(about).toMatchObject({
      annotations: {
        "vnd.docker.reference.digest": image?.digest,
        "vnd.docker.reference.type": "attestation-manifest",
      },
      platform: { architecture: "unknown", os: "unknown" },
    });
    expect(manifest).toMatchObject({
      artifactType: "application/vnd.docker.attestation.manifest.v1+json",
      config: { mediaType: "application/vnd.oci.empty.v1+json", size: 2, data: "e30=" },
      subject: { digest: image?.digest },
      layers: [
        {
          mediaType: "application/vnd.in-toto+json",
          annotations: { "in-toto.io/predicate-type": "https://slsa.dev/provenance/v1" },
        },
      ],
    });
    expect(statement).toMatchObject({
      _type: "https://in-toto.io/Statement/v1",
      subject: [
        {
          name: expect.stringMatching(/^pkg:docker\/team\/app@1\?platform=linux%2F/),
          digest: { sha256: image?.digest.replace("sha256:", "") },
        },
      ],
      predicate: {
        buildDefinition: {
          externalParameters: {
            configSource: { path: "Dockerfile" },
            request: {
              frontend: "dockerfile.v0",
              args: { "build-arg:VERSION": "1.2", "build-arg:NPM_TOKEN": "***", "label:owner": "me" },
              secrets: [{ id: "key", optional: true }],
              locals: [{ name: "context" }, { name: "dockerfile" }],
            },
          },
          internalParameters: {
            buildConfig: {
              llbDefinition: [
                { id: "step0", op: { kind: "image" } },
                { id: "step1", op: { kind: "exec", env: expect.arrayContaining(["NPM_TOKEN=***", "VERSION=1.2"]) } },
                { id: "step2", op: { kind: "local" } },
                { id: "step3", op: { kind: "file" }, inputs: ["step1:0", "step2:0"] },
              ],
            },
          },
          resolvedDependencies: [
            { uri: expect.stringMatching(/^pkg:docker\/busybox@latest/), digest: { sha256: expect.any(String) } },
          ],
        },
        runDetails: {
          builder: { id: "https://ci/7" },
          metadata: {
            buildkit_metadata: { source: { infos: [{ filename: "Dockerfile", language: "Dockerfile" }] } },
            buildkit_completeness: { request: true, resolvedDependencies: false },
            buildkit_hermetic: false,
          },
        },
      },
    });
  });

  test("has no secrets, and with mode=min no arguments, steps or sources", async () => {
    const max = join(home, "secrets");
    await run(MAX, { type: "oci", tar: "false", dest: max });
    const { text } = await read(max);
    expect(text).not.toContain("hunter2");
    expect(text).not.toContain("hidden file");
    const min = join(home, "min");
    await run({ ...MAX, mode: "min", version: "v0.2" }, { type: "oci", tar: "false", dest: min });
    const { statement } = await read(min);
    expect(statement).toMatchObject({
      predicateType: "https://slsa.dev/provenance/v0.2",
      predicate: {
        builder: { id: "https://ci/7" },
        buildType: "https://mobyproject.org/buildkit@v1",
        invocation: { configSource: { entryPoint: "Dockerfile" }, parameters: { args: {} } },
        metadata: { completeness: { parameters: false, environment: true, materials: false } },
      },
    });
    const small = JSON.stringify(statement);
    for (const word of ["llbDefinition", "secrets", "VERSION", "infos"]) expect(small).not.toContain(word);
  });

  test("is pushed with an image, one for each platform, after the images", async () => {
    await using registry = await startTestRegistry();
    await writeFile(join(home, "context/Dockerfile.two"), "FROM scratch\nCOPY a /a\n");
    const name = `${registry.host}/team/app:1`;
    await build(
      {
        context: join(home, "context"),
        dockerfile: join(home, "context/Dockerfile.two"),
        platforms: ["linux/amd64", "linux/arm64"],
        outputs: [
          parseOutput(
            new Map([
              ["type", "registry"],
              ["name", name],
            ]),
          ),
        ],
        provenance: { ...MAX, mode: "min" },
      },
      testEnvironment(join(home, "store")),
      signal,
    );
    const index = JSON.parse(registry.manifests.get("team/app:1")?.bytes.toString() ?? "") as Index;
    expect(index.manifests.map(({ platform }) => platform?.architecture)).toEqual([
      "amd64",
      "arm64",
      "unknown",
      "unknown",
    ]);
    for (const { digest } of index.manifests) expect(registry.manifests.has(`team/app@${digest}`)).toBe(true);
  });

  test("cannot go with Docker's media types", async () => {
    const dest = join(home, "docker-types");
    const building = run(MAX, { type: "oci", tar: "false", dest, "oci-mediatypes": "false" });
    await expect(building).rejects.toThrow('Cannot export attestations with "oci-mediatypes=false"');
  });
});
