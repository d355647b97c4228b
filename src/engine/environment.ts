import type { Readable, Writable } from "node:stream";
import type { Platform } from "../../lib/core/platform.ts";

/**
 * Everything that comes from outside the program. The command line fills it in from the process; a program that uses
 * kiln as a library may give other answers.
 */
export interface BuildEnvironment {
  /** The store: `/var/lib/kiln`. Made when missing. */
  readonly root: string;
  /** The native addon, `build/kiln.node`. */
  readonly addonPath: string;
  /** The container runtime, `build/kiln-runtime`. */
  readonly runtimePath: string;
  /** Environment variables: registry configuration, proxies, SOURCE_DATE_EPOCH, secrets given by name. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What relative paths in the options are relative to. Absolute. */
  readonly workingDirectory: string;
  readonly homeDirectory: string;
  readonly temporaryDirectory: string;
  /** The machine's own. */
  readonly platform: Platform;
  /** Node's name of it, `x64`. */
  readonly arch: string;
  readonly processors: number;
  /** What the store may take; absent: a share of what it has and what is free on its disk. */
  readonly keepStorageBytes?: number | undefined;
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  nowMs(): number;
  /** Another one after every start of the machine; `undefined` where it cannot be known. */
  bootId(): string | undefined;
  stdin(): Readable;
  stdout(): Writable;
}
