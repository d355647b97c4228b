import { existsSync, readFileSync } from "node:fs";
import { availableParallelism, homedir, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Readable } from "node:stream";
import { BuildError } from "../../lib/core/errors.ts";
import { platformOfNode } from "../../lib/core/platform.ts";
import type { BuildEnvironment } from "../engine/environment.ts";

/** The place in which every function of the library works. All members are optional. */
export interface PlaceOptions {
  /** The store. Default: the variable KILN_ROOT, `/var/lib/kiln` for root, `$XDG_DATA_HOME/kiln` for others. */
  readonly root?: string | undefined;
  /** Base of relative paths. Default: the process's working directory. */
  readonly workingDirectory?: string | undefined;
  /** Environment variables instead of the process's: registry accounts, proxies, SOURCE_DATE_EPOCH. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
}

/** The place, and streams that a program may give. */
type Given = PlaceOptions & {
  /** Source of a context of `-`. */
  readonly stdin?: Readable | undefined;
  /** Size limit of the store in bytes. */
  readonly keepStorageBytes?: number | undefined;
};

/** Reads what the process gives, now. */
export function processEnvironment(given: Given): BuildEnvironment {
  const env = given.env ?? process.env;
  const workingDirectory = resolve(given.workingDirectory ?? process.cwd());
  const parts = partsDirectory();
  const uid = process.getuid?.() ?? 0;
  const homeDirectory = env["HOME"] || homedir();
  const root = given.root || env["KILN_ROOT"] || defaultRoot(env, uid, homeDirectory);
  return {
    root: resolve(workingDirectory, root),
    addonPath: join(parts, "kiln.node"),
    runtimePath: join(parts, "kiln-runtime"),
    env,
    workingDirectory,
    homeDirectory,
    temporaryDirectory: env["TMPDIR"] || tmpdir(),
    platform: platformOfNode(process.platform, process.arch),
    arch: process.arch,
    processors: availableParallelism(),
    keepStorageBytes: given.keepStorageBytes,
    uid,
    gid: process.getgid?.() ?? 0,
    pid: process.pid,
    nowMs: () => Date.now(),
    bootId,
    stdin: () => given.stdin ?? Readable.from([]),
    stdout: () => {
      throw new BuildError("cli/usage", "Cannot write to standard output: it belongs to the program that builds", {
        hint: "give the output a dest",
      });
    },
  };
}

function defaultRoot(env: BuildEnvironment["env"], uid: number, homeDirectory: string): string {
  // In the child process of a plain user, which is root of a user namespace, the store is that user's.
  if (uid === 0 && process.env["KILN_ROOTLESS"] === undefined) return "/var/lib/kiln";
  return join(env["XDG_DATA_HOME"] || join(homeDirectory, ".local", "share"), "kiln");
}

/** Finds the compiled parts beside this package: from the bundle in build/library, and from the sources. */
function partsDirectory(): string {
  const build = join(import.meta.dirname, "..");
  const candidates = [join(build, process.arch), build, join(build, "..", "build")];
  const found = candidates.find((directory) => existsSync(join(directory, "kiln.node")));
  if (found !== undefined) return found;
  throw new BuildError("native/missing", "Cannot find the native addon of kiln: its package is not complete", {
    hint: "install the package again; in a clone, run 'npm ci && npm run build'",
  });
}

/** Reads the boot id; `undefined` where the kernel does not tell. */
function bootId(): string | undefined {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
  } catch {
    return undefined;
  }
}

/** Tells whether work must be done in a user namespace: as the launcher decides it. */
export function needsNamespace(): boolean {
  if (process.getuid?.() !== 0) return process.env["KILN_ROOTLESS"] === undefined;
  try {
    const [, capabilities = ""] = /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync("/proc/self/status", "latin1")) ?? [];
    // Bit 21 is CAP_SYS_ADMIN.
    return capabilities !== "" && (BigInt(`0x${capabilities}`) & (1n << 21n)) === 0n;
  } catch {
    return false;
  }
}

/** Returns the variables of a process in a user namespace; KILN_ROOTLESS has the user's id outside, as from the launcher. */
export function namespaceEnvironment(): NodeJS.ProcessEnv {
  const uid = process.getuid?.() ?? 0;
  return uid === 0 ? process.env : { ...process.env, KILN_ROOTLESS: String(uid) };
}
