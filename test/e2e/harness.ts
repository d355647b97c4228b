import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, existsSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";

export const PROJECT = join(import.meta.dirname, "../..");

export interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `bin/kiln` as a user would: a process of its own, with its own store. */
export function kiln(
  root: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly input?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Outcome {
  const run = spawnSync(join(PROJECT, "bin/kiln"), ["--root", root, ...args], {
    cwd: options.cwd ?? PROJECT,
    env: { ...process.env, ...options.env },
    input: options.input ?? "",
    encoding: "utf8",
    maxBuffer: 1 << 28,
    // A process that does not end would otherwise hang the whole run without a message.
    timeout: 300_000,
    killSignal: "SIGKILL",
  });
  return { status: run.status ?? 255, stdout: run.stdout, stderr: run.stderr };
}

/**
 * Does the same without blocking this process, for builds that talk to a server of the test. `shell` where PATH has
 * none.
 */
export async function kilnBeside(
  root: string,
  args: readonly string[],
  options: { readonly env?: Readonly<Record<string, string>>; readonly shell?: string; readonly cwd?: string } = {},
): Promise<Outcome> {
  const { shell, cwd = PROJECT } = options;
  const script = [join(PROJECT, "bin/kiln"), "--root", root, ...args];
  const [program = "", ...rest] = shell === undefined ? script : [shell, ...script];
  const child = spawn(program, rest, {
    cwd,
    env: { ...process.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [stdout, stderr, status] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise<number>((resolve) => child.once("close", (code) => resolve(code ?? 255))),
  ]);
  return { status, stdout, stderr };
}

/** Does the same for a command that must succeed. */
export function mustKiln(root: string, args: readonly string[], options: Parameters<typeof kiln>[2] = {}): Outcome {
  const outcome = kiln(root, args, options);
  if (outcome.status !== 0)
    throw new Error(`kiln ${args.join(" ")} ended with ${outcome.status}:\n${outcome.stderr}\n${outcome.stdout}`);
  return outcome;
}

export function has(program: string): boolean {
  return spawnSync("sh", ["-c", `command -v ${program}`], { stdio: "ignore" }).status === 0;
}

/** Returns the reason why a test of whole builds cannot run here, or `undefined`. Printed with the skip. */
export function missing(...programs: readonly string[]): string | undefined {
  if (process.getuid?.() !== 0) return "needs root";
  const absent = programs.filter((program) => !has(program));
  return absent.length === 0 ? undefined : `needs ${absent.join(", ")}`;
}

/** Makes a temporary folder, removed by `dispose`. */
export function temporary(): { readonly path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "kiln-e2e-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Makes a minimal Debian as a tar, once, and keeps it in build/ because it takes half a minute. */
export function debianTar(): string {
  const cache = join(PROJECT, "build/test-cache");
  const tar = join(cache, "debian-bookworm.tar");
  if (existsSync(tar)) return tar;
  mkdirSync(cache, { recursive: true });
  // Another test process may be making it too: each makes its own, and the last rename wins.
  const own = join(cache, `debian-${process.pid}.tar`);
  const made = spawnSync("mmdebstrap", ["--variant=minbase", "bookworm", own], { encoding: "utf8" });
  if (made.status !== 0) throw new Error(`mmdebstrap failed: ${made.stderr}`);
  renameSync(own, tar);
  return tar;
}

/** Makes a root file system with a static busybox, as a folder. */
export function busyboxRoot(directory: string): string {
  const root = join(directory, "busybox-root");
  for (const name of ["bin", "etc", "tmp", "root"]) mkdirSync(join(root, name), { recursive: true });
  const script =
    'cp /bin/busybox "$1/bin/" && for a in $(/bin/busybox --list); do [ "$a" = busybox ] || ln -s busybox "$1/bin/$a"; done; chmod 1777 "$1/tmp"';
  const made = spawnSync("sh", ["-c", script, "sh", root], { encoding: "utf8" });
  if (made.status !== 0) throw new Error(made.stderr);
  writeFileSync(join(root, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
  writeFileSync(join(root, "etc/group"), "root:x:0:\n");
  return root;
}

/** Starts Debian's docker-registry on a free loopback port. */
export async function startRegistry(directory: string): Promise<{ readonly host: string } & AsyncDisposable> {
  const port = await freePort();
  const config = join(directory, "registry.yml");
  writeFileSync(
    config,
    `version: 0.1\nstorage: {filesystem: {rootdirectory: ${JSON.stringify(join(directory, "registry"))}}, delete: {enabled: true}}\nhttp: {addr: "127.0.0.1:${port}"}\nlog: {level: error}\n`,
  );
  const child = spawn("docker-registry", ["serve", config], { stdio: "ignore" });
  const host = `127.0.0.1:${port}`;
  for (let attempt = 0; attempt < 100; attempt += 1) {
    // Another program's server offers no event to wait for: ask until it answers.
    const answer = await fetch(`http://${host}/v2/`).catch(() => undefined);
    if (answer?.ok) return { host, [Symbol.asyncDispose]: () => stop(child) };
    await pause(50);
  }
  await stop(child);
  throw new Error("docker-registry did not start");
}

async function stop(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await ended;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}
