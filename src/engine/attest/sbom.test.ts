import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { importBusybox, noBusybox, writeFiles } from "../../../test/support/busybox.ts";
import { dockerRegistryMissing, startDockerRegistry } from "../../../test/support/docker-registry.ts";
import { cannotRun, testEnvironment } from "../../../test/support/environment.ts";
import { startTestRegistry } from "../../../test/support/registry.ts";
import type { Index, Manifest } from "../../../lib/core/oci.ts";
import type { ProgressEvent } from "../../../lib/core/progress.ts";
import { parseReference } from "../../../lib/core/reference.ts";
import { listReferrers } from "../../../lib/registry/listed-referrers.ts";
import { parseOutput } from "../../export/parse-output.ts";
import { build } from "../build.ts";
import { Engine } from "../engine.ts";
import type { BuildOptions } from "../options.ts";

const skip = cannotRun ?? noBusybox;
if (skip !== undefined) console.warn(`skipped: SBOMs of builds: ${skip}`);

describe.skipIf(skip !== undefined)("an SBOM of a build", () => {
  const { signal } = new AbortController();
  let home = "";
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "kiln-sbom-build-"));
    await importBusybox(testEnvironment(join(home, "store")));
    await mkdir(join(home, "context"));
    await writeFiles(join(home, "context"), {
      "package.json": '{"name":"left-pad","version":"1.3.0"}',
      status: "Package: zlib1g\nStatus: install ok installed\nVersion: 1:1.3\n",
      Dockerfile:
        "FROM busybox\nCOPY package.json /app/node_modules/left-pad/\nCOPY status /var/lib/dpkg/status\nCOPY package.json /gone/node_modules/x/\nRUN rm -r /gone\n",
    });
  });
  afterAll(() => rm(home, { recursive: true, force: true }));

  const environment = () => testEnvironment(join(home, "store"));
  const run = async (options: Partial<BuildOptions>, output: Readonly<Record<string, string>>) => {
    const events: ProgressEvent[] = [];
    const outputs = [parseOutput(new Map(Object.entries(output)))];
    const given = { context: join(home, "context"), outputs, sbom: true, ...options };
    await build({ ...given, progress: (event) => void events.push(event) }, environment(), signal);
    return events.flatMap((event) => (event.kind === "notice" ? event.message : []));
  };
  const json = async (dest: string, digest = ""): Promise<unknown> =>
    JSON.parse(await readFile(join(dest, "blobs/sha256", digest.replace("sha256:", "")), "utf8"));
  const PACKAGES = [
    { primaryPackagePurpose: "CONTAINER" },
    { externalRefs: [{ referenceLocator: "pkg:deb/debian/zlib1g@1:1.3" }] },
    { externalRefs: [{ referenceLocator: "pkg:npm/left-pad@1.3.0" }] },
  ];

  test("lies before the provenance in the attestation manifest, with the packages of the finished image", async () => {
    const dest = join(home, "index");
    const provenance = { mode: "min", version: "v1", builderId: "", reproducible: false, inlineOnly: false } as const;
    expect(await run({ provenance, tags: ["team/app:1"] }, { type: "oci", tar: "false", dest })).toEqual([]);
    const top = JSON.parse(await readFile(join(dest, "index.json"), "utf8")) as Index;
    const index = (await json(dest, top.manifests[0]?.digest)) as Index;
    const manifest = (await json(dest, index.manifests[1]?.digest)) as Manifest;
    expect(manifest.layers.map(({ annotations }) => annotations?.["in-toto.io/predicate-type"])).toEqual([
      "https://spdx.dev/Document",
      "https://slsa.dev/provenance/v1",
    ]);
    expect(await json(dest, manifest.layers[0]?.digest)).toMatchObject({
      _type: "https://in-toto.io/Statement/v1",
      predicateType: "https://spdx.dev/Document",
      subject: [
        {
          name: expect.stringMatching(/^pkg:docker\/team\/app@1\?/),
          digest: { sha256: index.manifests[0]?.digest.replace("sha256:", "") },
        },
      ],
      predicate: { spdxVersion: "SPDX-2.3", name: "team/app:1", packages: PACKAGES },
    });
  });

  test("is the same for the same build, also where nothing ran", async () => {
    const [one, two] = [join(home, "one"), join(home, "two")];
    await run({}, { type: "oci", tar: "false", dest: one });
    await run({}, { type: "oci", tar: "false", dest: two });
    expect(await readFile(join(two, "index.json"), "utf8")).toBe(await readFile(join(one, "index.json"), "utf8"));
  });

  test("an output without a place for it is told", async () => {
    expect(await run({}, { type: "image" })).toEqual([expect.stringContaining("The SBOM goes nowhere")]);
  });

  test("as a referrer in an OCI layout, the image stays a manifest", async () => {
    const dest = join(home, "referrers");
    await run({ attestStyle: "referrers" }, { type: "oci", tar: "false", dest });
    const { manifests } = JSON.parse(await readFile(join(dest, "index.json"), "utf8")) as Index;
    expect(manifests).toMatchObject([
      { mediaType: "application/vnd.oci.image.manifest.v1+json" },
      { artifactType: "application/vnd.in-toto+json" },
    ]);
    expect(await json(dest, manifests[1]?.digest)).toMatchObject({ subject: { digest: manifests[0]?.digest } });
  });

  test.each([
    { name: "the stand-in for registries without the API", start: startTestRegistry, why: undefined },
    { name: "the registry of distribution", start: startDockerRegistry, why: dockerRegistryMissing },
  ])("as a referrer in a registry: $name", async ({ start, why }) => {
    if (why !== undefined) {
      console.warn(`skipped: ${why}`);
      return;
    }
    await using registry = await start();
    const name = `${registry.host}/team/app:1`;
    await run({ attestStyle: "referrers", tags: [name] }, { type: "image", push: "true" });
    // Pushed again, it is listed once.
    await run({ attestStyle: "referrers", tags: [name] }, { type: "image", push: "true" });
    await using engine = new Engine(environment(), { progress: () => {} });
    const client = await engine.registry();
    const reference = parseReference(name);
    const { descriptor, document } = await client.resolve(reference, signal);
    expect(document.kind).toBe("manifest");
    const found = await listReferrers(client, reference, descriptor.digest, signal);
    expect(found).toMatchObject([
      {
        artifactType: "application/vnd.in-toto+json",
        annotations: { "in-toto.io/predicate-type": "https://spdx.dev/Document" },
      },
    ]);
    const artifact = await client.fetchManifest(reference, { digest: found[0]?.digest ?? descriptor.digest }, signal);
    expect(JSON.parse(artifact.bytes.toString())).toMatchObject({ subject: { digest: descriptor.digest } });
  });
});
