import { copyFileSync, mkdirSync, mkdtempSync } from "node:fs";
import { join } from "node:path";
import { BuildError, messageOf } from "../../lib/core/errors.ts";
import { isExhausted, systemHint } from "../../lib/core/system-hints.ts";
import { AT_FDCWD } from "../../lib/native/constants.ts";
import type { Native } from "../../lib/native/native.ts";
import type { RunRequest } from "../ports.ts";
import type { RuntimeOptions } from "./driver.ts";
import { createRuntime } from "./driver.ts";
import type { lastIds, UserNamespaceMap } from "./host.ts";
import { beginKeeping } from "./owners-beyond.ts";
import type { Refusal } from "./rung.ts";
import { Refused, type SandboxPart } from "./sandbox-parts.ts";

/** Input of every attempt. */
export interface AttemptContext {
  readonly native: Native;
  readonly runtimePath: string;
  /** Host directory on the disk that builds use; a try makes and removes a folder in it. */
  readonly directory: string;
  readonly overlayMarks: "trusted" | "user";
  /** `process.arch`. */
  readonly arch: string;
  readonly instance: string;
  /** Directories of PATH, where helpers are looked for. */
  readonly searchPath: readonly string[];
}

/** The variant of one attempt, compared with the bare sandbox. */
export interface Attempt {
  readonly root?: "overlay";
  readonly network?: "none" | "sandbox";
  readonly chroot?: { readonly native: Native };
  readonly ids?: "pretended";
  /** The last ids of a user namespace that has many: what is beyond them is written down. */
  readonly lastIds?: ReturnType<typeof lastIds>;
  /** Parts to leave out from the start. */
  readonly without?: readonly SandboxPart[];
  readonly userNamespace?: UserNamespaceMap;
  readonly limits?: RunRequest["limits"];
  readonly notices?: string[];
  /** Told of what was refused, and of the parts that were left out then. */
  readonly onRefusal?: (refusal: Refusal, parts: readonly SandboxPart[]) => void;
}

/** The result of an attempt; without a message all is well. */
export interface Tried {
  readonly message: string | undefined;
  /** The part of the sandbox that was refused and cannot be left out. */
  readonly refused: string | undefined;
  /** Rights of a step, by the names of program/trial.c: 0, or the kernel's error number. */
  readonly rights: ReadonlyMap<string, number>;
}

/**
 * One real step. The command is the runtime itself, copied into an otherwise empty root, so no image is needed: it tells what
 * it may do and exits with 125.
 */
export async function tryStep(context: AttemptContext, how: Attempt, signal: AbortSignal): Promise<Tried> {
  const directory = mkdtempSync(join(context.directory, "probe-"));
  try {
    const path = (name: string): string => {
      const full = join(directory, name);
      mkdirSync(full);
      return full;
    };
    const beyond = how.lastIds === undefined ? undefined : { directory: path("beyond"), ...how.lastIds };
    if (beyond !== undefined) beginKeeping(beyond);
    const options: RuntimeOptions = {
      runtimePath: context.runtimePath,
      scratchDirectory: path("scratch"),
      overlayMarks: context.overlayMarks,
      arch: context.arch,
      instance: context.instance,
      notice: (message) => how.notices?.push(message),
      searchPath: context.searchPath,
      chroot: how.chroot,
      ...(how.without === undefined
        ? {}
        : { findRung: () => Promise.resolve({ kind: "namespaces", without: how.without ?? [], overlay: true }) }),
      ...(how.onRefusal === undefined ? {} : { onRefusal: how.onRefusal }),
      ownersDirectory: how.ids === undefined ? undefined : path("owners"),
      ownersBeyond: beyond,
      ...(how.userNamespace === undefined ? {} : { userNamespace: how.userNamespace }),
    };
    const root: RunRequest["root"] =
      how.root === "overlay"
        ? { kind: "overlay", upper: path("upper"), work: path("work"), lowers: [path("lower")] }
        : { kind: "directory", path: path("root"), mode: "rw" };
    // A file of the tree, as commands are: where the store's disk runs no programs, this one does not run either.
    copyFileSync(context.runtimePath, join(directory, how.root === "overlay" ? "lower" : "root", "probe"));
    const output = { stdout: "", stderr: "" };
    using runtime = createRuntime(options);
    const { exitCode } = await runtime.run(
      {
        root,
        mounts: [],
        argv: ["/probe", "try"],
        env: [],
        cwd: "/",
        user: { uid: 0, gid: 0, supplementary: [], home: "/" },
        hostname: "probe",
        // Same as the default, but missing rights there are the observation, and no reason to run again elsewhere.
        network: how.network ?? "host",
        security: "sandbox",
        extraHosts: [],
        shmSizeBytes: undefined,
        ulimits: [],
        limits: how.limits ?? {},
        cgroupParent: undefined,
        stdio: { kind: "pipes", onOutput: (stream, chunk) => void (output[stream] += Buffer.from(chunk).toString()) },
      },
      signal,
    );
    const rights = parseRights(output.stdout);
    const isRight = exitCode === 125 && rights.size > 0;
    const message = isRight ? undefined : `the command ended with ${exitCode}: ${output.stderr.trim()}`;
    return { message, refused: undefined, rights };
  } catch (error) {
    signal.throwIfAborted();
    throwExhausted(error);
    const refused = error instanceof BuildError && error.cause instanceof Refused ? error.cause.part : undefined;
    return { message: messageOf(error), refused, rights: new Map() };
  } finally {
    // Not rmSync: overlayfs leaves a directory of mode 0, which not every root may open.
    context.native.removeTreeSync(AT_FDCWD, directory);
  }
}

/** Throws where files or memory ran out: what could not be tried is not refused. */
function throwExhausted(error: unknown): void {
  const [, hint] = EXHAUSTED.find(([pattern]) => pattern.test(messageOf(error))) ?? [];
  if (hint === undefined && !isExhausted(error)) return;
  const message = `Cannot try how steps are isolated here: ${messageOf(error)}`;
  throw new BuildError("system/failed", message, { hint, cause: error });
}

/** The C library's words for them, which the runtime reports. */
const EXHAUSTED = [
  [/too many open files/i, systemHint("EMFILE")],
  [/cannot allocate memory/i, systemHint("ENOMEM")],
] as const;

/** Lines of a name and a number. */
function parseRights(text: string): Map<string, number> {
  const lines = text.split("\n").map((line) => line.split(" "));
  return new Map(lines.flatMap(([name, number]) => (name && number ? [[name, Number(number)]] : [])));
}
