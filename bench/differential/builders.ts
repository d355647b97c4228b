import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { extract } from "tar-stream";

/** One builder and its commands. Paths in `where` are absolute and the builder's own. */
export interface Builder {
  readonly name: string;
  /** Builds into an image, from which `config` reads the configuration afterwards, and into a tar of the files. */
  build(context: string, flags: readonly string[], where: Where): Promise<Answer>;
  /** Runs `--call=METHOD,format=json`. */
  call(context: string, method: string, flags: readonly string[]): Promise<Answer>;
}

export interface Where {
  /** Path of an empty folder. */
  readonly out: string;
  /** Path of the tar with the files of the result. */
  readonly files: string;
}

export interface Answer {
  readonly ok: boolean;
  /** Standard output and standard error. */
  readonly output: string;
  readonly stdout: string;
  /** The image configuration, after a build that succeeded. */
  readonly config?: unknown;
}

/** Makes the builder for kiln of this checkout, with a store of its own. */
export function kiln(home: string, store: string): Builder {
  const program = [join(home, "bin/kiln"), "--root", store, "build"];
  return {
    name: "kiln",
    async build(context, flags, { out, files }) {
      const oci = join(out, "image");
      const outputs = ["-o", `type=oci,tar=false,dest=${oci}`, "-o", `type=tar,dest=${files}`];
      const answer = await run([...program, "--progress", "plain", "--no-cache", ...flags, ...outputs], context);
      if (!answer.ok) return answer;
      const { manifests } = readJson(join(oci, "index.json")) as { manifests: { digest: string }[] };
      const blob = (digest = ""): unknown => readJson(join(oci, "blobs", digest.replace(":", "/")));
      const { config } = blob(manifests[0]?.digest) as { config: { digest: string } };
      return { ...answer, config: blob(config.digest) };
    },
    call: (context, method, flags) => run([...program, `--call=${method},format=json`, ...flags], context),
  };
}

/**
 * Makes the builder for Docker's engine, which includes BuildKit. Without containerd's image store it writes no
 * archives: `docker save` does. It does not save an image without layers; that configuration is read from the registry,
 * after a push.
 */
export function buildkit(docker: string, registry: string): Builder {
  let count = 0;
  const program = [docker, "buildx", "build", "--network", "host"];
  return {
    name: "buildkit",
    async build(context, flags, { out, files }) {
      // Builds may run concurrently.
      const image = `kiln-differential:${process.pid}-${++count}`;
      const outputs = ["-t", image, "-o", "type=docker", "-o", `type=tar,dest=${files}`];
      const all = [...program, "--progress", "plain", "--provenance=false", "--no-cache", ...flags, ...outputs];
      const answer = await run(all, context);
      if (!answer.ok) return answer;
      const saved = join(out, "image.tar");
      const save = await run([docker, "save", "-o", saved, image], out);
      const config = save.output.includes("empty export") ? await pushedConfig(docker, image, registry) : undefined;
      await run([docker, "image", "rm", "-f", image], out);
      if (config !== undefined) return { ...answer, config };
      if (!save.ok) throw new Error(`docker save: ${save.output}`);
      mkdirSync(join(out, "image"));
      await run(["tar", "-xf", saved, "-C", join(out, "image")], out);
      const [manifest] = readJson(join(out, "image/manifest.json")) as { Config: string }[];
      return { ...answer, config: readJson(join(out, "image", manifest?.Config ?? "")) };
    },
    call: (context, method, flags) => run([...program, `--call=${method},format=json`, ...flags], context),
  };
}

async function pushedConfig(docker: string, image: string, registry: string): Promise<unknown> {
  const name = "kiln-differential/empty";
  const tag = image.slice(image.indexOf(":") + 1);
  await run([docker, "tag", image, `${registry}/${name}:${tag}`], ".");
  const push = await run([docker, "push", "-q", `${registry}/${name}:${tag}`], ".");
  await run([docker, "image", "rm", "-f", `${registry}/${name}:${tag}`], ".");
  if (!push.ok) throw new Error(`docker push: ${push.output}`);
  const url = `http://${registry}/v2/${name}`;
  const accept = "application/vnd.docker.distribution.manifest.v2+json";
  const manifest = await (await fetch(`${url}/manifests/${tag}`, { headers: { accept } })).json();
  const { config } = manifest as { config: { digest: string } };
  return (await fetch(`${url}/blobs/${config.digest}`)).json();
}

/** Lists every file of a tar as one line: the output of `tar -tv` and the digest of the content. */
export async function listing(tar: string): Promise<string[]> {
  const options = ["--numeric-owner", "--full-time", "--quoting-style=escape"];
  const [seen, contents] = await Promise.all([run(["tar", "-tvf", tar, ...options], "."), digests(tar)]);
  if (!seen.ok) throw new Error(`Cannot list ${tar}: ${seen.output}`);
  return [...seen.stdout.split("\n"), ...contents].filter(Boolean);
}

async function digests(tar: string): Promise<readonly string[]> {
  const lines: string[] = [];
  const entries = extract();
  const read = pipeline(createReadStream(tar), entries);
  for await (const entry of entries) {
    const digest = createHash("sha256");
    for await (const chunk of entry) digest.update(chunk as Buffer);
    if (entry.header.type === "file") lines.push(`${digest.digest("hex").slice(0, 16)} ${entry.header.name}`);
  }
  await read;
  return lines;
}

/** Runs a command to its end, with nothing or a file as its standard input. */
export async function run(command: readonly string[], cwd: string): Promise<Answer> {
  const { words, input } = withInput(command);
  const [program = "", ...args] = words;
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd, stdio: ["pipe", "pipe", "pipe"] });
    const stdout: Buffer[] = [];
    const all: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => void (stdout.push(chunk), all.push(chunk)));
    child.stderr.on("data", (chunk: Buffer) => all.push(chunk));
    child.on("error", (error) => resolve({ ok: false, output: error.message, stdout: "" }));
    child.stdin.on("error", () => {}); // A builder that refuses its flags does not read its input.
    child.stdin.end(input === undefined ? "" : readFileSync(join(cwd, input)));
    child.on("close", (status) =>
      resolve({ ok: status === 0, output: Buffer.concat(all).toString(), stdout: Buffer.concat(stdout).toString() }),
    );
  });
}

/** Reads a word `<FILE` as the file on standard input, as in a shell. */
function withInput(command: readonly string[]): { readonly words: string[]; readonly input: string | undefined } {
  return {
    words: command.filter((word) => !word.startsWith("<")),
    input: command.find((word) => word.startsWith("<"))?.slice(1),
  };
}

/** Makes the folder empty. */
export function emptied(folder: string): string {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  return folder;
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, "utf8")) as unknown;
}
