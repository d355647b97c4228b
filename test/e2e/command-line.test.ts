import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { VERSION } from "../../lib/core/version.ts";
import { type Outcome, has, kiln, missing, mustKiln, PROJECT, temporary } from "./harness.ts";

const skip = missing();
if (skip !== undefined) console.warn(`skipped: mistakes on the command line: ${skip}`);

/** Makes a home with contexts: `c` is fine, the others are not. */
function contexts(home: string): string {
  const files: Readonly<Record<string, string>> = {
    "c/Dockerfile": "FROM scratch AS only\nCOPY a /a\n",
    "c/a": "a",
    "empty/Dockerfile": "",
    "podman/Containerfile": "FROM scratch\n",
    "comments/Dockerfile": "# nothing\n\n# at all\n",
    "binary/Dockerfile": "\u0000\u0001\u001b[2J\n".repeat(500),
    "no-from/Dockerfile": "RUN x\n",
    "directory/Dockerfile/x": "",
    "circle/Dockerfile": "FROM scratch AS a\nCOPY --from=a x y\n",
    "later/Dockerfile": "FROM scratch AS a\nCOPY --from=b x y\nFROM a AS b\n",
  };
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(home, name, ".."), { recursive: true });
    writeFileSync(join(home, name), text);
  }
  return home;
}

const CASES: readonly { readonly args: string; readonly says: RegExp }[] = [
  {
    args: "buidl c",
    says: /error\[cli\/usage\]: unknown command 'buidl'\n +hint: did you mean build\? "kiln --help" lists/,
  },
  { args: "build", says: /please specify build context/ },
  { args: "build c extra", says: /too many arguments|one context is expected/ },
  { args: "build --bogus c", says: /error\[cli\/usage\]: unknown option '--bogus'\n +hint: "kiln build --help" lists/ },
  { args: "build --taget only c", says: /hint: did you mean --target\?/ },
  { args: "tag c", says: /error\[cli\/usage\]: missing required argument 'name'/ },
  { args: "image", says: /Unknown command kiln image\n +hint: there are kiln image build/ },
  { args: "image lss", says: /Unknown command kiln image lss \(did you mean "ls"\?\)/ },
  { args: "buildx create", says: /there are no builders to manage/ },
  { args: "build nothere", says: /path "nothere" not found/ },
  { args: "build c/a", says: /Cannot use "c\/a" as build context: it is a file/ },
  { args: "build c/Dockerfile", says: /hint: give the Dockerfile with -f .*kiln build -f c\/Dockerfile c/ },
  { args: "build -f nothere c", says: /open nothere: no such file.*\n.*relative to the working directory/ },
  { args: "build directory", says: /Cannot read "Dockerfile": it is a directory/ },
  { args: "build empty", says: /the Dockerfile cannot be empty\n[\s\S]*begin with FROM/ },
  { args: "build comments", says: /file with no instructions/ },
  { args: "build binary", says: /^(?:(?!\p{Cc})[^]|\n)*it is binary data/u },
  { args: "build no-from", says: /no build stage in current context/ },
  { args: "build circle", says: /[Cc]ircular dependency detected on stage: a/ },
  { args: "build later", says: /needs to be defined before current stage "a"\n +--> Dockerfile:2/ },
  { args: "build --target onyl c", says: /no stage has that name \(did you mean "only"\?\)/ },
  { args: "build -t Upper c", says: /repository names are lower-case\n.*write "upper"/ },
  { args: "build --platform linux/a/b/c c", says: /it has more than three parts/ },
  { args: "build --platform linux/amd64, c", says: /a platform is empty/ },
  { args: "build --pull=maybe c", says: /--pull=maybe: it is neither true nor false/ },
  { args: "build --build-arg =x c", says: /it has no name/ },
  { args: "build --secret src=c/a c", says: /it has no id/ },
  { args: "build --secret id=x,src=nothere c", says: /Cannot read secret "x".*there is no such file/ },
  { args: "build --ssh default=nothere c", says: /Cannot use the ssh key .*nothere: there is no such file/ },
  { args: "build --ssh default=c/a c", says: /Cannot use the ssh key .*: it is no private key/ },
  { args: "build --build-context x=nothere c", says: /Cannot use "nothere" as context x: there is no such directory/ },
  { args: "build --iidfile nothere/id c", says: /for --iidfile: there is no directory/ },
  { args: "build --metadata-file c c", says: /for --metadata-file: it is a directory/ },
  { args: "build -o type=local,dest=c/a c", says: /Cannot write into "c\/a": it is a file/ },
  { args: "build -o type=tar,dest=c c", says: /Cannot write to "c": it is a directory/ },
  { args: "build -o /proc/nothing/here c", says: /Cannot make the directory "\/proc\/nothing\/here"/ },
  { args: "build -o type=oci,tar=false,dest=/proc/nothing c", says: /Cannot make the directory "\/proc\/nothing/ },
  { args: "build --cache-to type=local,dest=/proc/nothing c", says: /annot make the cache "\/proc\/nothing"/ },
  { args: "build -o type=bogus c", says: /"bogus"/ },
  { args: "build --progress bogus c", says: /it is one of auto, tty, plain/ },
  { args: "build -q --progress plain c", says: /progress=plain and quiet cannot be used together/ },
  { args: "build --destination x c", says: /unknown option '--destination'.*\n.*use --push -t NAME/ },
  { args: "build -t= c", says: /Cannot use --tag "": it is empty/ },
  { args: "--root= images", says: /Cannot use --root "": it is empty/ },
  { args: "build -o type=local,dest= c", says: /dest is required for type=local/ },
  { args: "build -o type=,dest=x c", says: /type is required/ },
  { args: "build --secret id=x,src= c", says: /its file or variable is empty/ },
  { args: "build --build-context x= c", says: /its source is empty/ },
  { args: "build --cache-to type=local,dest= c", says: /dest is empty/ },
  { args: "build -o type=tar,dest=same -o type=oci,dest=./same c", says: /Cannot write two outputs to ".\/same"/ },
  {
    args: `build -o type=tar,dest=${"x".repeat(300)} c`,
    says: /error\[export\/failed\]: Cannot write to .*ENAMETOOLONG/,
  },
  { args: "build --expect-cached=onyl c", says: /no stage has that name \(did you mean "only"\?\)/ },
  { args: "history --format {{.ID x", says: /Cannot use the template "{{\.ID": an action does not end/ },
  { args: "info -f {{.Foo}}", says: /there is no field Foo \(column 3\)\n +hint: fields here: \.Architecture/ },
  { args: "inspect --type container x", says: /kiln keeps images only/ },
  { args: "du --format yaml", says: /Cannot use --format/ },
  { args: "inspect nothere", says: /Cannot find image "nothere" in the store/ },
  { args: "load -i nothere", says: /Cannot load "nothere": there is no such file/ },
  { args: "import nothere x", says: /Cannot import "nothere": there is no such file/ },
  { args: "--root c/a images", says: /Cannot make the store ".*c\/a"/ },
  { args: "--root /proc/nothing images", says: /Cannot make the store "\/proc\/nothing"/ },
  { args: "--root c/a doctor", says: /Cannot write to the store ".*c\/a"/ },
  { args: "--root /proc/nothing doctor", says: /Cannot write to the store "\/proc\/nothing"/ },
];

describe.skipIf(skip !== undefined)("bin/kiln", { timeout: 60_000 }, () => {
  test("each mistake is told in one place, with a way out and without a stack", () => {
    using home = temporary();
    const cwd = contexts(home.path);
    for (const { args, says } of CASES) {
      const { status, stderr } = kiln(join(home.path, "store"), args.split(" "), { cwd });
      expect(stderr, args).toMatch(says);
      expect(stderr, args).not.toMatch(/^ {4}at |bug in kiln/m);
      // A line without a code comes from commander.
      expect(status, args).toBe(/^error(?:\[cli\/usage\])?: /m.test(stderr) ? 125 : 1);
    }
  });

  test("the launcher's version is the program's", () => {
    for (const flag of ["--version", "-v"])
      expect(kiln("/nowhere", [flag]), flag).toMatchObject({ status: 0, stdout: `kiln ${VERSION}\n` });
    const { stdout } = spawnSync(join(PROJECT, "bin/kiln"), ["-v"], { encoding: "utf8" });
    expect(stdout).toBe(`kiln ${VERSION}\n`);
  });

  test("flags that scripts give an empty value, or false, are not given", () => {
    using home = temporary();
    const cwd = contexts(home.path);
    const flags = ["--target=", "--network=", "--shm-size=", "--iidfile=", "--pull=false", "--no-cache=false"];
    const outcome = kiln(join(home.path, "store"), ["build", ...flags, "--load=true", "-q=true", "c"], { cwd });
    expect(outcome).toMatchObject({ status: 0, stderr: "" });
    expect(outcome.stdout).toMatch(/^sha256:[0-9a-f]{64}\n$/);
  });

  test("an empty value writes nothing anywhere", () => {
    using home = temporary();
    const cwd = contexts(home.path);
    const before = readdirSync(cwd);
    for (const args of [["-o", ""], ["-o="], ["--output", "", "-f", "", "--target", ""]]) {
      expect(kiln(join(home.path, "store"), ["build", "-q", ...args, "c"], { cwd })).toMatchObject({
        status: 0,
        stderr: "",
      });
    }
    expect(kiln(join(home.path, "store"), ["build", ""], { cwd })).toMatchObject({ status: 125 });
    expect(kiln(join(home.path, "store"), ["run", "-v", ":/data", "x"], { cwd })).toMatchObject({
      status: 125,
      stderr: expect.stringContaining("Cannot read --volume"),
    });
    expect(readdirSync(cwd).filter((name) => name !== "store")).toEqual(before);
  });

  test("an empty KILN_ROOT is none", () => {
    using home = temporary();
    const cwd = contexts(home.path);
    const env = { KILN_ROOT: "", KILN_ROOTLESS: "0", XDG_DATA_HOME: join(home.path, "data") };
    const before = readdirSync(cwd);
    const run = spawnSync(join(PROJECT, "bin/kiln"), ["images"], {
      cwd,
      env: { ...process.env, ...env },
      encoding: "utf8",
    });
    expect(run.status, run.stderr).toBe(0);
    expect(readdirSync(cwd)).toEqual([...before, "data"].toSorted());
  });

  test("a flag and a variable without effect are said, and a stage that is not there", () => {
    using home = temporary();
    const cwd = contexts(home.path);
    const flags = ["-D", "--builder=x", "--no-cache-filter", "onyl", "--cache-from", "type=local,src=nothere,tag=x"];
    const env = { BUILDX_BUILDER: "x", BUILDKIT_COLORS: "run=infrared" };
    const { status, stderr } = kiln(join(home.path, "store"), ["build", ...flags, "c"], { cwd, env });
    expect(status).toBe(0);
    for (const says of ["--debug", "--builder", "tag", "BUILDX_BUILDER", 'BUILDKIT_COLORS: "run=infrared"']) {
      expect(stderr).toContain(`${says} is ignored`);
    }
    expect(stderr).toContain('--no-cache-filter "onyl" has no effect: no stage has that name (did you mean "only"?)');
  });

  test("all names count, those of -t and those of the output", () => {
    using home = temporary();
    const cwd = contexts(home.path);
    const store = join(home.path, "store");
    const flags = "build -q -t a -t b -o type=image,name=c -o type=oci,name=d,dest=out,tar=false --metadata-file m c";
    expect(kiln(store, flags.split(" "), { cwd }).status).toBe(0);
    const listed = kiln(store, ["images", "--format", "json"]).stdout.trim().split("\n");
    expect(listed.map((line) => (JSON.parse(line) as { Repository: string }).Repository).toSorted()).toEqual([
      "a",
      "b",
      "c",
    ]);
    expect(
      readFileSync(join(cwd, "out/index.json"), "utf8")
        .match(/library\/[a-d]:latest/g)
        ?.toSorted(),
    ).toEqual(["a", "b", "d"].map((name) => `library/${name}:latest`));
    const names = ["a", "b", "c", "d"].map((name) => `docker.io/library/${name}`).join(",");
    expect(JSON.parse(readFileSync(join(cwd, "m"), "utf8"))).toMatchObject({ "image.name": names });
  });

  test("docker's spellings and templates are understood", () => {
    using home = temporary();
    const cwd = contexts(home.path);
    const store = join(home.path, "store");
    const said = (args: readonly string[]): string => mustKiln(store, args, { cwd }).stdout.trimEnd();
    const label = ["--label", "team=a"];
    const id = said(["image", "build", "-q", "-t", "app", ...label, "c"]);
    expect(said(["buildx", "build", "-q", ...label, "c"])).toBe(id);
    expect(said(["image", "ls", "--no-trunc", "-q"])).toBe(id);
    expect(said(["images", "--format", "{{.Repository}}:{{.Tag}}"])).toBe("app:latest");
    expect(said(["images", "--format", String.raw`table {{.Repository}}\t{{.Tag}}`])).toBe(
      "REPOSITORY   TAG\napp          latest",
    );
    expect(said(["inspect", "-f", "{{.Id}} {{.ID}} {{.Os}}", "app"])).toBe(`${id} ${id} linux`);
    expect(said(["image", "inspect", "--format={{json .Config.Labels}} {{.Config.Labels.none}}", "app"])).toBe(
      '{"team":"a"} <no value>',
    );
    expect(JSON.parse(said(["inspect", "-f", "json", "app"]))).toMatchObject([{ Id: id, RepoTags: ["app:latest"] }]);
    expect(said(["history", "--human=false", "--format", "{{.Size}} {{.CreatedBy}}", "app"])).toMatch(/^\d+ /);
    expect(said(["system", "df", "--format", "{{.Type}} {{.TotalCount}}"]).split("\n")).toHaveLength(4);
    expect(said(["du", "--format", "{{.Type}}"]).split("\n")).toContain("image");
    expect(said(["version", "-f", "{{.Server.Version}}"])).toBe(said(["--version"]).replace("kiln ", ""));
    expect(said(["info", "-f", "{{.DockerRootDir}}"])).toBe(store);
    expect(said(["builder", "prune", "-f"])).toContain("Total reclaimed");
    expect(said(["image", "rm", "app"])).toContain("Untagged");
  });

  test.each([
    { name: "several platforms", asks: "--platform amd64,arm64" },
    { name: "one platform, with BUILDKIT_MULTI_PLATFORM", asks: "--build-arg BUILDKIT_MULTI_PLATFORM=1" },
  ])("$name: what was built is known by its index", ({ asks }) => {
    using home = temporary();
    const cwd = contexts(home.path);
    const store = join(home.path, "store");
    const flags = `${asks} -t many --iidfile id --metadata-file m c`.split(" ");
    const id = kiln(store, ["build", "-q", ...flags], { cwd }).stdout.trim();
    const metadata = JSON.parse(readFileSync(join(cwd, "m"), "utf8")) as Readonly<Record<string, unknown>>;
    expect(metadata).toMatchObject({ "containerimage.digest": id });
    expect(metadata).not.toHaveProperty("containerimage.config.digest");
    expect(readFileSync(join(cwd, "id"), "utf8")).toBe(id);
    for (const name of [id, id.slice(7, 19)]) expect(kiln(store, ["tag", name, "copy"], { cwd }).status).toBe(0);
    expect(kiln(store, ["images", "-q", "--no-trunc", "copy"]).stdout.trim()).toBe(id);
  });

  test("a file of an earlier build's id does not outlive a build that makes none", () => {
    using home = temporary();
    const cwd = contexts(home.path);
    const store = join(home.path, "store");
    for (const [args, status] of [
      [["no-from"], 1],
      [["-o", "out", "c"], 0],
    ] as const) {
      for (const name of ["id", "m"]) writeFileSync(join(cwd, name), "of another build");
      const run = kiln(store, ["build", "--iidfile", "id", "--metadata-file", "m", ...args], { cwd });
      expect(run.status).toBe(status);
      expect(existsSync(join(cwd, "id"))).toBe(false);
      if (status === 0) expect(run.stderr).toContain("--iidfile is not written: no output of this build is an image");
      else expect(existsSync(join(cwd, "m"))).toBe(false);
    }
  });

  test.each([
    { change: 'CMD ["/a b"]', config: { Cmd: ["/a b"] } },
    { change: "LABEL a=b", config: { Labels: { a: "b" } } },
    { change: "ENV A=b", config: { Env: ["A=b"] } },
    { change: "ENV PATH=/x", config: { Env: ["PATH=/x"] } },
    { change: "USER 5", config: { User: "5" } },
  ])("an import has the change $change, and no other", ({ change, config }) => {
    using home = temporary();
    const cwd = contexts(home.path);
    const store = join(home.path, "store");
    mustKiln(store, ["import", "--change", change, "c", "x"], { cwd });
    const { config: own } = JSON.parse(mustKiln(store, ["inspect", "--config", "x"]).stdout) as { config: unknown };
    expect(own).toEqual(config);
  });

  test("an index is shown as one, with its names", () => {
    using home = temporary();
    const cwd = contexts(home.path);
    const store = join(home.path, "store");
    const platforms = ["--platform", "linux/s390x,linux/ppc64le"];
    const id = mustKiln(store, ["build", "-q", "-t", "many", ...platforms, "c"], { cwd }).stdout.trim();
    const shown = (...args: string[]): Record<string, unknown> =>
      (JSON.parse(mustKiln(store, ["inspect", ...args, "many"]).stdout) as [Record<string, unknown>])[0];
    expect(shown()).toMatchObject({
      Id: id,
      IndexDigest: id,
      RepoTags: ["many:latest"],
      Architecture: "s390x",
      Manifests: [{ Platform: "linux/s390x" }, { Platform: "linux/ppc64le" }],
    });
    expect(shown("--platform", "ppc64le")).toMatchObject({ Architecture: "ppc64le", RepoTags: [] });
    const raw = mustKiln(store, ["inspect", "--raw", "many"]).stdout;
    expect(`sha256:${createHash("sha256").update(raw).digest("hex")}`).toBe(id);
    expect(mustKiln(store, ["inspect", "--raw", "many", "many"]).stdout).toBe(raw + raw);
  });

  test.skipIf(process.getuid?.() !== 0)("no half of a file is left on a full disk", () => {
    using home = temporary();
    const cwd = contexts(home.path);
    const script = `mkdir d && mount -t tmpfs -o size=8k tmpfs d && head -c 8192 /dev/zero >d/full
      for flag in iidfile metadata-file; do "$0" --root store build -q --$flag d/x c && exit 9; done; ls d`;
    const args = ["-m", "sh", "-c", script, join(PROJECT, "bin/kiln")];
    const { stdout, stderr } = spawnSync("unshare", args, { cwd, encoding: "utf8" });
    expect(stdout).toBe("full\n");
    expect(stderr).toMatch(
      /Cannot write .*d\/x for --iidfile: ENOSPC[^]*Cannot write .*d\/x for --metadata-file: ENOSPC/,
    );
  });

  test("DOCKER_DEFAULT_PLATFORM is the default of --platform", () => {
    using home = temporary();
    const cwd = contexts(home.path);
    const store = join(home.path, "store");
    const architecture = (flags: readonly string[]): string => {
      kiln(store, ["build", "-q", "-t", "x", ...flags, "c"], { cwd, env: { DOCKER_DEFAULT_PLATFORM: "linux/s390x" } });
      return (JSON.parse(kiln(store, ["inspect", "x"]).stdout) as [{ Architecture: string }])[0].Architecture;
    };
    expect([architecture([]), architecture(["--platform", "arm64"])]).toEqual(["s390x", "arm64"]);
  });

  test.skipIf(!has("script"))("an archive is not waited for on a terminal", () => {
    using home = temporary();
    for (const args of ["load", "import - x"]) {
      const line = `${join(PROJECT, "bin/kiln")} --root ${join(home.path, "store")} ${args}`;
      const run = spawnSync("script", ["-qec", line, "/dev/null"], { encoding: "utf8", timeout: 30_000 });
      expect(run.stdout, args).toMatch(/from a terminal: standard input is to be an archive/);
      expect(run.status, args).toBe(125);
    }
  });

  test("a full disk behind standard output fails the command in one line", () => {
    using home = temporary();
    const cwd = contexts(home.path);
    const store = join(home.path, "store");
    for (const args of ["build -q c", "images", "build -q -o - c"]) {
      const line = `"$@" > /dev/full`;
      const command = ["-c", line, "sh", join(PROJECT, "bin/kiln"), "--root", store, ...args.split(" ")];
      const { status, stderr } = spawnSync("sh", command, { cwd, encoding: "utf8" });
      const lines = stderr
        .trim()
        .replaceAll(/\n +(?:hint|more): .*$/gm, "")
        .split("\n").length;
      expect({ args, status, lines }).toEqual({ args, status: 1, lines: 1 });
      expect(stderr).toMatch(/annot write to standard output: ENOSPC/);
    }
  });

  test("a reader that is slow gets every line", () => {
    using home = temporary();
    const cwd = contexts(home.path);
    const store = join(home.path, "store");
    mkdirSync(join(cwd, "many"));
    writeFileSync(join(cwd, "many/Dockerfile"), "FROM scratch\nCOPY . /\n");
    for (let n = 0; n < 3000; n += 1) writeFileSync(join(cwd, `many/a file with a longer name ${n}`), "");
    mustKiln(store, ["build", "-q", "-t", "many", "many"], { cwd });
    // More than a pipe holds is waiting when the command is done.
    const line = `"$@" | { sleep 1; wc -l; }`;
    const command = ["-c", line, "sh", join(PROJECT, "bin/kiln"), "--root", store, "ls", "--format", "json", "many"];
    expect(spawnSync("sh", command, { cwd, encoding: "utf8" }).stdout.trim()).toBe("3001");
  });

  test("a reader that goes away early is no bug of ours", async () => {
    using home = temporary();
    const cwd = contexts(home.path);
    writeFileSync(join(cwd, "c/a"), Buffer.alloc(8 << 20));
    const { status, stderr } = await readOneChunk(join(home.path, "store"), ["build", "-q", "-o", "-", "c"], cwd);
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr:
        "error[export/failed]: Cannot write to standard output: its reader has stopped reading\n  more: kiln explain export/failed\n",
    });
  });
});

async function readOneChunk(store: string, args: readonly string[], cwd: string): Promise<Omit<Outcome, "stdout">> {
  const child = spawn(join(PROJECT, "bin/kiln"), ["--root", store, ...args], {
    cwd,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  child.stdout.once("data", () => child.stdout.destroy());
  const status = await new Promise<number>((resolve) => child.on("close", (code) => resolve(code ?? 255)));
  return { status, stderr };
}
