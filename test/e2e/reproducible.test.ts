import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { busyboxRoot, kiln, missing, mustKiln, PROJECT, temporary } from "./harness.ts";
import { asPlainUser, cannotBePlain, type Ids } from "./plain-user.ts";

const why = missing("busybox", "git", "tar");
if (why !== undefined) console.warn(`the tests of reproducible builds are skipped: ${why}`);

const KILN = join(PROJECT, "bin/kiln");
const DOCKERFILE = [
  "FROM base",
  "ARG SOURCE_DATE_EPOCH",
  "WORKDIR /deep/er",
  "COPY . /new/way/src/",
  "COPY --parents src/./sub/run.sh /parents/",
  "COPY --chown=5:6 src/data /owned/data",
  "ADD pack.tar /unpacked/",
  "COPY <<-here /here",
  "\ttext",
  "here",
  "RUN --mount=type=bind,target=/ctx cp -a /ctx/src /copied && ls -lnR /ctx /new > /listing",
  "RUN stat -c '%n %Y' /here /deep/er /owned /owned/data /parents /parents/sub /unpacked /unpacked/src > /times",
  "RUN <<there\n#!/bin/sh\nstat -c 'script %Y' $0 >> /times\nthere",
  'RUN echo "$SOURCE_DATE_EPOCH" > /epoch && mkdir /made && echo made > /made/file',
  "",
].join("\n");

describe.skipIf(why !== undefined)("reproducible builds", { timeout: 240_000 }, () => {
  const folder = temporary();
  const at = (...names: readonly string[]): string => join(folder.path, ...names);
  const sh = (script: string, ...args: readonly string[]): string => {
    const run = spawnSync("sh", ["-ec", script, "sh", ...args], { encoding: "utf8" });
    if (run.status !== 0) throw new Error(`${script}: ${run.stderr}`);
    return run.stdout;
  };
  const git = (directory: string, ...args: readonly string[]): string =>
    sh(
      'cd "$1" && shift && git -c user.name=n -c user.email=e -c commit.gpgsign=false -c init.defaultBranch=main "$@"',
      directory,
      ...args,
    );
  /** Writes one context as somebody with this umask, at this time, would have it. */
  const context = (name: string, umask: number, seconds: number): string => {
    const path = at(name);
    mkdirSync(join(path, "src/sub"), { recursive: true });
    const files = {
      "src/data": "data\n",
      "src/sub/run.sh": "#!/bin/sh\n",
      "src/twin": "data\n",
      ".dockerignore": ".git\n",
    };
    for (const [file, text] of Object.entries(files)) {
      writeFileSync(join(path, file), text);
      chmodSync(join(path, file), (file.endsWith(".sh") ? 0o777 : 0o666) & ~umask);
    }
    writeFileSync(join(path, "Dockerfile"), DOCKERFILE);
    sh(
      'cd "$1" && ln -sfn data src/link && tar --mtime=@1 --owner=3 --group=4 --mode=0640 -cf pack.tar src/data',
      path,
    );
    for (const directory of ["src/sub", "src", "."]) chmodSync(join(path, directory), 0o777 & ~umask);
    chmodSync(join(path, "pack.tar"), 0o666 & ~umask);
    sh('find "$1" -exec touch -h -d "@$2" {} +', path, String(seconds));
    return path;
  };
  const store = (name: string): string => {
    const root = at(name);
    mustKiln(root, ["load", "-q", "-i", at("base.tar")]);
    return root;
  };
  /** Builds, and returns the digests of the store's image and of an OCI archive. */
  const digests = (root: string, path: string, args: readonly string[] = [], umask = "022"): readonly string[] => {
    const archive = at("image.tar");
    const name = "rep";
    const script = `umask ${umask}; exec "$@"`;
    const outputs = ["-o", "type=image", "-o", `type=oci,dest=${archive}`];
    const argv = ["--root", root, "build", "--reproducible", "-t", name, ...outputs, ...args, path];
    sh(script, KILN, ...argv);
    const index: unknown = JSON.parse(sh('tar -xOf "$1" index.json', archive));
    const saved = at("saved.tar");
    mustKiln(root, ["save", "-o", saved, name]);
    const id = mustKiln(root, ["inspect", "--format", "{{.Id}}", name]).stdout;
    return [JSON.stringify(index), id];
  };

  beforeAll(() => {
    busyboxRoot(folder.path);
    // One base for all stores.
    mustKiln(at("first"), ["import", at("busybox-root"), "base"]);
    mustKiln(at("first"), ["save", "-o", at("base.tar"), "base"]);
  });
  afterAll(() => folder[Symbol.dispose]());

  test("two contexts of other times and umasks, two stores: one digest", () => {
    const old = context("old", 0o022, 1_200_000_000);
    const young = context("young", 0o077, 1_700_000_000);
    sh('ln -f "$1/src/data" "$1/src/twin"', young);
    utimesSync(join(young, "src"), 5, 5);
    const first = digests(store("one"), old);
    expect(digests(store("two"), young, [], "077")).toEqual(first);
    // And from a store that knows the other context, with and without the flag.
    mustKiln(at("one"), ["build", "-q", young]);
    expect(digests(at("one"), young)).toEqual(first);
    expect(digests(at("one"), old)).toEqual(first);
    const listing = mustKiln(at("one"), ["cp", "rep:/listing", "-"]).stdout;
    expect(listing).toMatch(/-rwxr-xr-x +1 0 +0 .* run\.sh/);
    const times = mustKiln(at("one"), ["cp", "rep:/times", "-"]).stdout;
    expect(times.match(/^[a-z/]+ \d+$/gm)?.filter((line) => !/ [01]$/.test(line))).toEqual([]);
    expect(times).toContain("script 0\n");
    const files = mustKiln(at("one"), ["ls", "-R", "--format", "json", "rep", "/new"]).stdout.trim().split("\n");
    const facts = files.map((line): { path: string; mode: string; mtime: string } => JSON.parse(line));
    expect(new Set(facts.map(({ mtime }) => mtime))).toEqual(new Set(["1970-01-01T00:00:00Z"]));
    expect(facts.find(({ path }) => path.endsWith("/src/src/data"))?.mode).toBe("0644");
    expect(facts.find(({ path }) => path.endsWith("/src/src/sub"))?.mode).toBe("0755");
  });

  test.each<{ ids: Ids }>([{ ids: "subordinate" }, { ids: "single" }])(
    "a plain user with $ids ids makes the digest of root",
    ({ ids }) => {
      const cannot = cannotBePlain(ids);
      if (cannot !== undefined) {
        console.warn(`skipped: ${cannot}`);
        return;
      }
      const home = at(`plain-${ids}`);
      mkdirSync(home);
      sh(
        'chmod a+rx "$1" && cp "$2" "$3" && cp -a "$4" "$3/context"',
        folder.path,
        at("base.tar"),
        home,
        context(`of-${ids}`, 0o027, 1_500_000_000),
      );
      sh('chmod -R a+rX "$1"', home);
      const plain = (...args: readonly string[]): string => {
        const { status, stdout, stderr } = asPlainUser(home, ids, [KILN, ...args]);
        if (status !== 0) throw new Error(`kiln ${args.join(" ")}: ${stderr}`);
        return stdout;
      };
      plain("load", "-q", "-i", join(home, "base.tar"));
      plain("build", "-q", "--reproducible", "--verify", "-t", "rep", join(home, "context"));
      const id = plain("inspect", "--format", "{{.Id}}", "rep");
      expect(digests(store(`root-${ids}`), join(home, "context"))[1]).toBe(id);
    },
  );

  test("--verify builds again, names the step, file and field that differ, and leaves nothing behind", () => {
    const root = store("verified");
    const path = at("verify");
    mkdirSync(path);
    const dockerfile = (...lines: readonly string[]): void =>
      writeFileSync(join(path, "Dockerfile"), ["FROM base", ...lines, ""].join("\n"));
    const build = (...args: readonly string[]) => kiln(root, ["build", "--reproducible", "-t", "v", ...args, path]);
    const left = (): readonly string[] => [
      ...sh('cd "$1" && mkdir -p trash && ls snapshots logs trash', root).split("\n"),
      ...mustKiln(root, ["images", "--all", "--format", "{{.ID}}"]).stdout.split("\n"),
    ];
    writeFileSync(join(path, "f"), "f\n");
    dockerfile("COPY f /f", "RUN echo said && echo same > /same && mkdir /d", "WORKDIR /w");
    const first = build();
    expect(first.status, first.stderr).toBe(0);
    const before = left();
    const good = build("--verify");
    expect(good.status, good.stderr).toBe(0);
    expect(good.stderr).toContain("again: [3/4] RUN");
    expect(left()).toEqual(before);
    dockerfile(
      "COPY f /f",
      "RUN date > /stamp && echo same > /same",
      "RUN if [ ! -e /x ]; then mkdir /x; cp /stamp /x/copy; chmod 4711 /x/copy; fi",
    );
    expect(build("-q").status).toBe(0);
    const known = left();
    const id = mustKiln(root, ["inspect", "--format", "{{.Id}}", "v"]).stdout;
    const bad = build("--verify", "-t", "other", "-o", `type=oci,dest=${at("bad.tar")}`);
    expect(bad).toMatchObject({ status: 1, stderr: expect.stringContaining("error[build/not-reproducible]") });
    expect(bad.stderr).toMatch(/~ \/stamp: content [0-9a-f]{12} -> [0-9a-f]{12}\n/);
    expect(bad.stderr).toMatch(/~ \/x\/copy: content /);
    expect(bad.stderr).toMatch(/ 3: [0-9a-f]{12} -> [0-9a-f]{12} +RUN .*date/);
    expect(bad.stderr).not.toMatch(/mtime|~ \/same|created/);
    expect(existsSync(at("bad.tar"))).toBe(false);
    expect(left()).toEqual(known);
    expect(build("-q").status).toBe(0);
    expect(mustKiln(root, ["inspect", "--format", "{{.Id}}", "v"]).stdout).toBe(id);
    // Without one date, the times differ, and the hint says what gives one.
    const plain = kiln(root, ["build", "--verify", path]);
    expect(plain.stderr).toContain("--reproducible gives all files and the image one date");
  });

  test("the commit dates the image, SOURCE_DATE_EPOCH dates it otherwise, and each date is another image", () => {
    const path = context("dated", 0o022, 1_600_000_000);
    const clone = at("clone");
    git(path, "init", "-q");
    git(path, "add", ".");
    sh('cd "$1" && GIT_COMMITTER_DATE="@1500000000 +0000" git -c user.name=n -c user.email=e commit -qm one', path);
    sh('git clone -q "$1" "$2"', path, clone);
    const root = store("dates");
    const created = (): string => mustKiln(root, ["inspect", "--format", "{{.Created}}", "rep"]).stdout.trim();
    const first = digests(root, path);
    expect(created()).toBe("2017-07-14T02:40:00Z");
    expect(mustKiln(root, ["cp", "rep:/epoch", "-"]).stdout).toContain("1500000000\n");
    expect(digests(root, clone, [], "077")).toEqual(first);
    const other = digests(root, path, ["--build-arg", "SOURCE_DATE_EPOCH=7"]);
    expect(created()).toBe("1970-01-01T00:00:07Z");
    expect(other).not.toEqual(first);
    expect(digests(store("dates-empty"), clone, ["--build-arg", "SOURCE_DATE_EPOCH=7"])).toEqual(other);
    expect(digests(root, path)).toEqual(first);
    const warned = (args: readonly string[]): boolean =>
      /has \.git of/.test(kiln(root, ["build", ...args, path]).stderr);
    expect([warned(["--reproducible"]), warned([])]).toEqual([false, false]);
    writeFileSync(join(path, ".dockerignore"), "");
    expect([warned(["--reproducible"]), warned([])]).toEqual([true, false]);
    const late = kiln(root, ["build", "--reproducible", "--build-arg", "SOURCE_DATE_EPOCH=4102444800", path]);
    expect(late).toMatchObject({ status: 1, stderr: expect.stringContaining("that is to come") });
  });
});
