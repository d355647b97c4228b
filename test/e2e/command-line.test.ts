import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type Outcome, kiln, missing, PROJECT, temporary } from "./harness.ts";

const skip = missing();
if (skip !== undefined) console.warn(`skipped: mistakes on the command line: ${skip}`);

/** A home with contexts: `c` is fine, the others are not. */
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
  { args: "buidl c", says: /unknown command 'buidl'\n\(Did you mean build\?\)/ },
  { args: "build", says: /please specify build context/ },
  { args: "build c extra", says: /too many arguments|one context is expected/ },
  { args: "build --bogus c", says: /unknown option '--bogus'/ },
  { args: "build nothere", says: /path "nothere" not found/ },
  { args: "build c/a", says: /Cannot use "c\/a" as build context: it is a file/ },
  { args: "build c/Dockerfile", says: /hint: give the Dockerfile with -f .*kiln build -f c\/Dockerfile c/ },
  { args: "build -f nothere c", says: /open nothere: no such file.*\n.*relative to the working directory/ },
  { args: "build directory", says: /Cannot read "Dockerfile": it is a directory/ },
  { args: "build podman", says: /open Dockerfile: no such file.*\n.*name it: -f .*podman\/Containerfile/ },
  { args: "build empty", says: /the Dockerfile cannot be empty\n[\s\S]*begin with FROM/ },
  { args: "build comments", says: /file with no instructions/ },
  { args: "build binary", says: /^(?:(?!\p{Cc})[^]|\n)*and \d+ more errors\s*$/u },
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
      expect(status, args).toBe(1);
    }
  });

  test("flags that scripts give an empty value, or false, are not given", () => {
    using home = temporary();
    const cwd = contexts(home.path);
    const flags = ["--target=", "--network=", "--shm-size=", "--iidfile=", "--pull=false", "--no-cache=false"];
    const outcome = kiln(join(home.path, "store"), ["build", ...flags, "--load=true", "-q=true", "c"], { cwd });
    expect(outcome).toMatchObject({ status: 0, stderr: "" });
    expect(outcome.stdout).toMatch(/^sha256:[0-9a-f]{64}\n$/);
  });

  test("a full disk behind standard output fails the command in one line", () => {
    using home = temporary();
    const cwd = contexts(home.path);
    const store = join(home.path, "store");
    for (const args of ["build -q c", "images", "build -q -o - c"]) {
      const line = `"$@" > /dev/full`;
      const command = ["-c", line, "sh", join(PROJECT, "bin/kiln"), "--root", store, ...args.split(" ")];
      const { status, stderr } = spawnSync("sh", command, { cwd, encoding: "utf8" });
      expect({ args, status, lines: stderr.trim().split("\n").length }).toEqual({ args, status: 1, lines: 1 });
      expect(stderr).toMatch(/annot write to standard output: ENOSPC/);
    }
  });

  test("a reader that goes away early is no bug of ours", async () => {
    using home = temporary();
    const cwd = contexts(home.path);
    writeFileSync(join(cwd, "c/a"), Buffer.alloc(8 << 20));
    const { status, stderr } = await readOneChunk(join(home.path, "store"), ["build", "-q", "-o", "-", "c"], cwd);
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: "error[export/failed]: Cannot write to standard output: whoever read it has stopped reading\n",
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
