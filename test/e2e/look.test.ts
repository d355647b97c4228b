import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { busyboxRoot, kiln, missing, mustKiln, PROJECT, temporary } from "./harness.ts";

const why = missing("busybox");
if (why !== undefined) console.warn(`the tests of looking into images are skipped: ${why}`);

describe.skipIf(why !== undefined)("looking into images", { timeout: 120_000 }, () => {
  const folder = temporary();
  const store = join(folder.path, "store");
  const said = (...args: readonly string[]): string => mustKiln(store, args, { cwd: folder.path }).stdout;
  const json = (...args: readonly string[]): unknown => JSON.parse(said(...args));

  beforeAll(() => {
    mkdirSync(join(folder.path, "context"));
    writeFileSync(join(folder.path, "context/f"), "hi\n");
    mustKiln(store, ["import", busyboxRoot(folder.path), "base"]);
    const build = (name: string, lines: readonly string[]): void => {
      writeFileSync(join(folder.path, "context/Dockerfile"), ["FROM base", ...lines, ""].join("\n"));
      mustKiln(store, [
        "build",
        "-q",
        "-t",
        name,
        "--build-arg",
        "SOURCE_DATE_EPOCH=1700000000",
        join(folder.path, "context"),
      ]);
    };
    build("one", [
      "ENV A=1",
      "COPY f /f",
      "RUN mkdir -p /d/e && echo x > /d/y && ln -s ../f /d/link && mknod /d/null c 1 3",
    ]);
    build("two", [
      "ENV A=2",
      "COPY f /f",
      "RUN dd if=/dev/zero of=/big bs=1M count=3 2>/dev/null && mkdir /gone && echo a > /gone/a",
      "RUN rm -r /big /gone && chmod 700 /f && mkdir -p /d/e && echo z > /d/y && ln -s f /d/link",
    ]);
  });
  afterAll(() => folder[Symbol.dispose]());

  test("sbom writes the same to standard output and into a file, and says where it cannot", () => {
    const shown = said("sbom", "--format", "cyclonedx", "one");
    said("sbom", "--format", "cyclonedx", "-o", "boms/one.json", "one");
    expect(readFileSync(join(folder.path, "boms/one.json"), "utf8")).toBe(shown);
    expect(JSON.parse(shown)).toMatchObject({ bomFormat: "CycloneDX", metadata: { component: { name: "one" } } });
    expect(kiln(store, ["sbom", "-o", folder.path, "one"])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("error[export/failed]: Cannot write to "),
    });
  });

  test("ls lists a directory, a file, everything, and devices and links as what they are", () => {
    expect(
      said("ls", "one", "/d")
        .split("\n")
        .slice(1)
        .map((line) => line.split(/\s+/).at(4)),
    ).toEqual(expect.arrayContaining(["/d/e", "/d/link", "/d/null", "/d/y"]));
    expect(said("ls", "one", "d/link")).toMatch(/l0777 +0:0 .* \/d\/link -> \.\.\/f/);
    expect(said("ls", "one", "/d/null")).toMatch(/c0644 +0:0 +1,3 /);
    expect(json("ls", "--format", "json", "one", "/f")).toMatchObject({ path: "/f", type: "f", mode: "0644", size: 3 });
    expect(said("ls", "-R", "one")).toContain(" /d/y");
    expect(said("ls", "one")).not.toContain("/d/y");
    expect(kiln(store, ["ls", "one", "/no/where"])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('Cannot find "/no/where" in the image'),
    });
  });

  test("cp copies by docker's rules, and never out of the image", () => {
    mkdirSync(join(folder.path, "out"));
    said("cp", "one:/d", "out");
    expect(readFileSync(join(folder.path, "out/d/y"), "utf8")).toBe("x\n");
    said("cp", "one:/d/.", "out/content");
    expect(readFileSync(join(folder.path, "out/content/y"), "utf8")).toBe("x\n");
    said("cp", "one:/f", "out/renamed");
    expect(readFileSync(join(folder.path, "out/renamed"), "utf8")).toBe("hi\n");
    said("cp", "one:/d/link", "out/followed");
    expect(readFileSync(join(folder.path, "out/followed"), "utf8")).toBe("hi\n");
    said("cp", "one:/../../f", "out/inside");
    expect(readFileSync(join(folder.path, "out/inside"), "utf8")).toBe("hi\n");
    for (const [args, says] of [
      [["cp", "one:/nothing", "out"], 'Cannot find "/nothing"'],
      [["cp", "one", "out"], "it names no path of an image"],
      [["cp", "one:/f", "out/none/"], "there is no such directory"],
      [["cp", "one:/d", "out/renamed"], "it is a file"],
    ] as const) {
      expect(kiln(store, args, { cwd: folder.path }).stderr).toContain(says);
    }
  });

  test("cp and export write tars with owners, links and devices", () => {
    const listed = (args: readonly string[]): string => {
      const tar = join(folder.path, "listed.tar");
      const output = execFileSync(join(PROJECT, "bin/kiln"), ["--root", store, ...args], { maxBuffer: 64 << 20 });
      writeFileSync(tar, output);
      return execFileSync("tar", ["tvf", tar], { encoding: "utf8" });
    };
    expect(listed(["cp", "one:/d", "-"])).toMatch(/crw-r--r-- 0\/0 +1,3 .* d\/null\n.*0 .* d\/y/s);
    expect(listed(["export", "one"])).toMatch(/ d\/link -> \.\.\/f\n/);
  });

  test("size says what was added, hidden again and only re-owned", () => {
    const { layers, largest } = json("size", "--format", "json", "--top", "1", "two") as {
      readonly layers: readonly {
        readonly addedBytes: number;
        readonly hiddenBytes: number;
        readonly repeatedBytes: number;
        readonly removed: number;
      }[];
      readonly largest: readonly unknown[];
    };
    expect(layers.slice(1)).toMatchObject([
      { addedBytes: 3, hiddenBytes: 3 },
      { addedBytes: (3 << 20) + 2, hiddenBytes: (3 << 20) + 2, repeatedBytes: 0 },
      { repeatedBytes: 3, removed: 2 },
    ]);
    expect(largest).toEqual([{ path: "big", bytes: 3 << 20, layer: 2, isHidden: true }]);
    expect(said("size", "two")).toMatch(/Hidden by later layers: 3\.15MB/);
    expect(kiln(store, ["size", "--fail-over", "1m", "two"]).status).toBe(1);
    expect(kiln(store, ["size", "--fail-over", "4m", "two"]).status).toBe(0);
  });

  test("diff names what differs, field by field, and its status says whether", () => {
    expect(kiln(store, ["diff", "one", "one"])).toMatchObject({ status: 0, stdout: "" });
    const { status, stdout } = kiln(store, ["diff", "one", "two"]);
    expect(status).toBe(1);
    expect(stdout).toContain('config.Env[1] "A=1" -> "A=2"');
    expect(stdout).toMatch(/~ \/f: mode 0644 -> 0700\n/);
    expect(stdout).toMatch(/~ \/d\/link: target \.\.\/f -> f/);
    expect(stdout).toMatch(/~ \/d\/y: content \w{12} -> \w{12}/);
    expect(stdout).toContain("- /d/null");
    const report = kiln(store, ["diff", "--no-times", "--format", "json", "one", "two"]).stdout;
    const { files } = JSON.parse(report) as {
      readonly files: readonly { path: string; kind: string }[];
    };
    expect(files).toContainEqual({ path: "d/null", kind: "removed", fields: [] });
  });

  test("an image that was only pulled in part is unpacked first", () => {
    const archive = join(folder.path, "one.tar");
    said("save", "-o", archive, "one");
    const other = join(folder.path, "other");
    mustKiln(other, ["load", "-i", archive]);
    expect(mustKiln(other, ["ls", "one", "/f"]).stdout).toContain("/f");
    expect(existsSync(join(other, "snapshots"))).toBe(true);
  });

  test("several images are saved with shared layers once, and loaded again under all names", () => {
    said("tag", "one", "again");
    for (const format of ["docker", "oci"]) {
      const archive = join(folder.path, `several-${format}.tar`);
      said("save", "--format", format, "-o", archive, "one", "two", "again");
      const names = execFileSync("tar", ["tf", archive], { encoding: "utf8" }).split("\n");
      expect(new Set(names).size).toBe(names.length);
      const other = join(folder.path, `loaded-${format}`);
      const loaded = mustKiln(other, ["load", "-i", archive]).stdout.trim().split("\n").toSorted();
      expect(loaded).toEqual(["again", "one", "two"].map((name) => `Loaded image: ${name}:latest`));
      const id = mustKiln(other, ["images", "-q", "--no-trunc", "two"]).stdout;
      expect(id).toBe(said("images", "-q", "--no-trunc", "two"));
    }
    const manifest = execFileSync("tar", ["xOf", join(folder.path, "several-docker.tar"), "manifest.json"], {
      encoding: "utf8",
    });
    expect(JSON.parse(manifest)).toMatchObject([
      { RepoTags: ["one:latest", "again:latest"] },
      { RepoTags: ["two:latest"] },
    ]);
    expect(kiln(store, ["save", "-o", join(folder.path, "none.tar"), "one", "nothere"]).status).toBe(1);
    expect(existsSync(join(folder.path, "none.tar"))).toBe(false);
  });

  test("one of several platforms is loaded, and a tree shows all", () => {
    const context = join(folder.path, "platforms");
    mkdirSync(context);
    writeFileSync(join(context, "Dockerfile"), "FROM scratch\nARG TARGETARCH\nCOPY Dockerfile /$TARGETARCH\n");
    said("build", "-q", "-t", "many", "--platform", "linux/amd64,linux/arm64", context);
    expect(said("images", "--tree", "many")).toMatch(/^many:latest .*\n├─ linux\/amd64 .*\n└─ linux\/arm64 /m);
    const archive = join(folder.path, "many.tar");
    said("save", "--format", "oci", "-o", archive, "many");
    const other = join(folder.path, "arm");
    mustKiln(other, ["load", "--platform", "linux/arm64", "-i", archive]);
    expect(mustKiln(other, ["inspect", "-f", "{{.Architecture}} {{len .RepoTags}}", "many"]).stdout).toBe("arm64 1\n");
    expect(kiln(other, ["load", "--platform", "linux/s390x", "-i", archive])).toMatchObject({ status: 1 });
  });
});
