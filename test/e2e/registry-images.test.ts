import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Outcome, kiln, missing, mustKiln, startRegistry, temporary } from "./harness.ts";

const why = missing("docker-registry");
if (why !== undefined) console.warn(`the tests of images that stay in registries are skipped: ${why}`);

interface IndexDocument {
  readonly manifests: readonly {
    readonly digest: string;
    readonly platform: { readonly architecture: string; readonly variant?: string };
  }[];
  readonly annotations?: Readonly<Record<string, string>>;
}

describe.skipIf(why !== undefined)("images in registries", { timeout: 120_000 }, () => {
  const folder = temporary();
  const context = join(folder.path, "context");
  let registry: Awaited<ReturnType<typeof startRegistry>>;
  let other: Awaited<ReturnType<typeof startRegistry>>;
  /** Names of one application in the first registry. */
  const app = (tag: string): string => `${registry.host}/team/app:${tag}`;
  const run = (...args: readonly string[]): Outcome => kiln(join(folder.path, "store"), args, { cwd: folder.path });
  const must = (...args: readonly string[]): string =>
    mustKiln(join(folder.path, "store"), args, { cwd: folder.path }).stdout.trim();
  const indexOf = (name: string): IndexDocument =>
    JSON.parse(must("imagetools", "inspect", "--raw", name)) as IndexDocument;
  const architectures = (name: string): readonly string[] =>
    indexOf(name).manifests.map(({ platform }) => platform.architecture);

  beforeAll(async () => {
    [registry, other] = await Promise.all(
      ["one", "two"].map((name) => {
        mkdirSync(join(folder.path, name));
        return startRegistry(join(folder.path, name));
      }) as [ReturnType<typeof startRegistry>, ReturnType<typeof startRegistry>],
    );
    mkdirSync(context);
    for (const arch of ["amd64", "arm64"]) {
      writeFileSync(join(context, arch), arch);
      writeFileSync(join(context, "Dockerfile"), `FROM scratch\nCOPY ${arch} /arch\n`);
      // Each on a store of its own: as two machines would.
      const store = join(folder.path, arch);
      mustKiln(store, ["build", "-q", "--platform", `linux/${arch}`, "--push", "-t", app(arch), context]);
    }
  });
  afterAll(async () => {
    await Promise.all([registry, other].map((one) => one[Symbol.asyncDispose]()));
    folder[Symbol.dispose]();
  });

  test("digests of two machines become one index, and a platform can be added later", () => {
    const digest = must("imagetools", "create", "-t", app("1"), app("amd64"));
    expect(must("imagetools", "inspect", "--format", "{{.Manifest.Digest}}", app("1"))).toBe(digest);
    expect(architectures(app("1"))).toEqual(["amd64"]);
    const [arm] = [must("imagetools", "inspect", "--format", "{{.Manifest.Digest}}", app("arm64"))];
    writeFileSync(join(folder.path, "descriptor.json"), JSON.stringify({ "containerimage.digest": arm }));
    const flags = ["--append", "-t", app("1"), "-t", app("latest"), "--metadata-file", "metadata.json"];
    const both = must("buildx", "imagetools", "create", ...flags, "-f", "descriptor.json");
    expect(architectures(app("1"))).toEqual(["amd64", "arm64"]);
    expect(JSON.parse(readFileSync(join(folder.path, "metadata.json"), "utf8"))).toMatchObject({
      "containerimage.digest": both,
    });
    for (const arch of ["amd64", "arm64"]) {
      const store = join(folder.path, `pulled-${arch}`);
      mustKiln(store, ["pull", "-q", "--platform", `linux/${arch}`, app("latest")]);
      mustKiln(store, [
        "cp",
        "--platform",
        `linux/${arch}`,
        `${app("latest")}:/arch`,
        join(folder.path, `found-${arch}`),
      ]);
      expect(readFileSync(join(folder.path, `found-${arch}`), "utf8")).toBe(arch);
    }
    const dry = JSON.parse(
      must("imagetools", "create", "--dry-run", "--annotation", "a=b", "-p", "linux/arm64", app("1")),
    ) as IndexDocument;
    expect(dry).toMatchObject({ annotations: { a: "b" }, manifests: [{ digest: arm }] });
  });

  test("docker's manifest commands make a list by and by", () => {
    const list = `${registry.host}/team/list:1`;
    must("manifest", "create", list, app("amd64"));
    expect(run("manifest", "create", list, app("arm64"))).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("--amend"),
    });
    must("manifest", "create", "--amend", list, app("arm64"));
    must("manifest", "annotate", "--variant", "v9", list, app("arm64"));
    expect(JSON.parse(must("manifest", "inspect", list))).toMatchObject({
      manifests: [{}, { platform: { variant: "v9" } }],
    });
    expect(must("manifest", "push", "--purge", list)).toMatch(/^sha256:/);
    expect(indexOf(list)).toMatchObject({ manifests: [{}, { platform: { variant: "v9" } }] });
    expect(run("manifest", "rm", list)).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("Cannot find the manifest list"),
    });
    must("manifest", "create", list, app("amd64"));
    must("manifest", "rm", list);
    expect(run("manifest", "push", list).status).toBe(1);
  });

  test("copy takes all platforms to another registry, byte for byte, or one of them", () => {
    must("imagetools", "create", "-t", app("both"), app("amd64"), app("arm64"));
    const digest = must("imagetools", "inspect", "--format", "{{.Manifest.Digest}}", app("both"));
    const there = `${other.host}/mirror/app:1`;
    const copied = run("copy", app("both"), there);
    expect(copied).toMatchObject({
      status: 0,
      stdout: `${digest}\n`,
      stderr: expect.stringContaining("4 blobs, 0 mounted"),
    });
    expect(run("copy", app("both"), there).stderr).toContain("0 blobs, 0 mounted, 4 there before");
    expect(run("copy", app("both"), `${registry.host}/other/app:1`).stderr).toContain("0 blobs, 4 mounted");
    expect(indexOf(there)).toEqual(indexOf(app("both")));
    must("copy", "-q", "--platform", "linux/arm64", app("both"), `${other.host}/mirror/arm`);
    expect(must("imagetools", "inspect", "--format", "{{.Image.architecture}}", `${other.host}/mirror/arm`)).toBe(
      "arm64",
    );
    const [pulled] = [join(folder.path, "mirrored")];
    mustKiln(pulled, ["pull", "-q", "--platform", "linux/amd64", there]);
  });

  test.each([
    { args: ["imagetools", "create", "-t", "a.test/b"], says: "it has no source" },
    { args: ["imagetools", "create", "a.test/b"], says: "it has no name" },
    { args: ["imagetools", "create", "-t", "a.test/b", "--annotation", "x", "c"], says: "is not key=value" },
    { args: ["manifest", "anotate"], says: 'did you mean "annotate"?' },
  ])("refuses $args", ({ args, says }) => {
    expect(run(...args)).toMatchObject({ status: 125, stderr: expect.stringContaining(says) });
  });

  test("a source that is not there leaves no name behind", () => {
    const name = `${registry.host}/team/never:1`;
    expect(run("imagetools", "create", "-t", name, app("amd64"), app("nothing")).status).toBe(1);
    expect(run("imagetools", "inspect", name).status).toBe(1);
    expect(run("copy", app("nothing"), name).status).toBe(1);
  });
});
