import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ImageConfig } from "../../lib/core/oci.ts";
import { busyboxRoot, has, kiln, kilnBeside, missing, mustKiln, startRegistry, temporary } from "./harness.ts";

const why = missing("busybox");
if (why !== undefined) console.warn(`the tests of split layers are skipped: ${why}`);

/** Files of every kind that a layer can hold, over a base of which some are removed or replaced. */
const DOCKERFILE = `FROM base
RUN rm -r /gone /d/sub && mkdir /d/sub && echo new > /d/sub/n && rm /d/k1
RUN for i in 1 2 3 4; do head -c 700000 /dev/urandom > /d/f$i; done; \\
    rm -r /d/sub && mkdir /d/sub && touch /d/sub/m && rm /d/k2 && ln /d/f1 /d/sub/zz && ln /d/f1 /aa && \\
    head -c 3000000 /dev/zero > /big && mkdir -p /e/m/p && chmod 1770 /e/m && chown 5:6 /d && mkfifo /e/fifo && \\
    ln -s /big /e/big && touch -d 2020-01-01 /d/f3 /d
ENV A=b
RUN rm /d/f2 && echo more > /more
`;

describe.skipIf(why !== undefined)("layers=split:SIZE", { timeout: 120_000 }, () => {
  const folder = temporary();
  const store = join(folder.path, "store");
  const context = join(folder.path, "context");

  beforeAll(() => {
    const root = busyboxRoot(folder.path);
    for (const name of ["d/sub", "gone"]) mkdirSync(join(root, name), { recursive: true });
    for (const name of ["d/sub/y", "d/k1", "d/k2", "d/k3", "gone/x"]) writeFileSync(join(root, name), name);
    mkdirSync(join(folder.path, "base"));
    writeFileSync(join(folder.path, "base/Dockerfile"), "FROM scratch\nCOPY --from=root / /\n");
    mustKiln(store, ["build", "-q", "-t", "base", "--build-context", `root=${root}`, join(folder.path, "base")]);
    mkdirSync(context);
    writeFileSync(join(context, "Dockerfile"), DOCKERFILE);
    mustKiln(store, ["build", "-q", "-t", "whole", context]);
  });
  afterAll(() => folder[Symbol.dispose]());

  const split = "layers=split:1MB";
  const listOf = (tar: string): readonly string[] => {
    const { stdout } = spawnSync("tar", ["-tvf", tar, "--full-time", "--numeric-owner"], { encoding: "utf8" });
    return stdout.split("\n").toSorted();
  };
  const filesOf = (root: string, image: string): readonly string[] => {
    const tar = join(folder.path, "export.tar");
    mustKiln(root, ["export", "-o", tar, image]);
    return listOf(tar);
  };
  const show = (root: string, image: string, template: string): string =>
    mustKiln(root, ["inspect", "-f", template, image]).stdout.trim();
  const layersOf = (root: string, image: string): string => show(root, image, "{{json .RootFS.Layers}}");

  test("the image has the same files, in layers of that size, the same ones each time", () => {
    mustKiln(store, ["build", "-q", "-o", `type=image,${split}`, "-t", "split", context]);
    expect(filesOf(store, "split")).toEqual(filesOf(store, "whole"));
    expect(show(store, "whole", "{{len .RootFS.Layers}}")).toBe("4");
    expect(show(store, "split", "{{len .RootFS.Layers}}")).toBe("8");
    const history = mustKiln(store, ["history", "--format", "{{.CreatedBy}}{{.Comment}}", "split"]).stdout.split("\n");
    expect(history.slice(1, 6)).toEqual([
      "ENV A=bbuildkit.dockerfile.v0",
      ...[5, 4, 3, 2].map((part) => `part ${part} of 5 of the layer`),
    ]);
    mustKiln(store, ["build", "-q", "-o", `type=image,${split}`, "-t", "again", context]);
    expect(layersOf(store, "again")).toBe(layersOf(store, "split"));
  });

  test("squashed, with clamped times, and by themselves: archives are read with the same files", () => {
    const archive = join(folder.path, "archive.tar");
    for (const more of [[], ["--squash", "--reproducible"]]) {
      mustKiln(store, ["build", "-q", ...more, "-t", "plain", "--build-arg", "SOURCE_DATE_EPOCH=9", context]);
      const output = `type=docker,compression=zstd,${split},dest=${archive}`;
      mustKiln(store, [
        "build",
        "-q",
        ...more,
        "-o",
        output,
        "-t",
        "parts",
        "--build-arg",
        "SOURCE_DATE_EPOCH=9",
        context,
      ]);
      const other = join(folder.path, `other${more.join("")}`);
      mustKiln(other, ["load", "-i", archive]);
      expect(filesOf(other, "parts")).toEqual(filesOf(store, "plain"));
      expect(layersOf(other, "parts")).not.toBe(layersOf(store, "plain"));
    }
  });

  test.skipIf(!has("docker-registry"))("pushed, and pulled by kiln and by skopeo", async () => {
    await using registry = await startRegistry(folder.path);
    const name = `${registry.host}/app`;
    const output = `type=image,push=true,compression=zstd,${split}`;
    expect(await kilnBeside(store, ["build", "-q", "-o", output, "-t", name, context])).toMatchObject({ status: 0 });
    const other = join(folder.path, "puller");
    expect(await kilnBeside(other, ["pull", name])).toMatchObject({ status: 0 });
    expect(filesOf(other, name)).toEqual(filesOf(store, "whole"));
    if (!has("skopeo")) return;
    const args = ["inspect", "--tls-verify=false", "--config", `docker://${name}`];
    const config = JSON.parse(spawnSync("skopeo", args, { encoding: "utf8" }).stdout) as ImageConfig;
    expect(config.history.filter((entry) => entry.empty_layer !== true)).toHaveLength(config.rootfs.diff_ids.length);
  });

  test.skipIf(!has("podman"))("the real podman has the same files", () => {
    const graph = join(folder.path, "podman");
    mkdirSync(graph);
    const conf = join(folder.path, "storage.conf");
    writeFileSync(conf, `[storage]\ndriver = "vfs"\nrunroot = "${graph}/run"\ngraphroot = "${graph}/root"\n`);
    const env = { ...process.env, CONTAINERS_STORAGE_CONF: conf };
    const podman = (...args: readonly string[]): string =>
      spawnSync("podman", args, { env, encoding: "utf8" }).stdout.trim();
    const lists = [[], [split]].map((more, index) => {
      const archive = join(folder.path, `podman-${index}.tar`);
      const output = ["type=docker", ...more, `dest=${archive}`].join(",");
      mustKiln(store, ["build", "-q", "-o", output, "-t", "for-podman", context]);
      podman("load", "-q", "-i", archive);
      const root = podman("image", "mount", "localhost/for-podman:latest") || podman("image", "mount", "for-podman");
      const { stdout } = spawnSync("find", [".", "-printf", "%p %M %U %G %s %T@ %l %n\n"], {
        cwd: root,
        encoding: "utf8",
      });
      podman("image", "umount", "-a");
      return stdout
        .split("\n")
        .filter((line) => !line.startsWith(". "))
        .toSorted();
    });
    expect(lists[1]).toEqual(lists[0]);
    expect(lists[0]?.some((line) => line.startsWith("./d/sub/zz "))).toBe(true);
  });

  test("an inline cache names the steps' layers, which are not there; other sizes are refused", () => {
    const archive = join(folder.path, "none.tar");
    const build = (output: string, ...more: readonly string[]): string =>
      kiln(store, ["build", "-q", "-o", `${output},dest=${archive}`, ...more, context]).stderr;
    expect(build(`type=oci,${split}`, "--cache-to", "type=inline")).toContain("with split layers");
    for (const bad of ["layers=1MB", "layers=split:", "layers=split:10", "layers=split:9e9"]) {
      expect(build(`type=oci,${bad}`)).toContain("error[cli/usage]: Cannot use --output: layers");
    }
  });
});
