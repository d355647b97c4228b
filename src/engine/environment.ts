import type { Readable, Writable } from "node:stream";
import type { Platform } from "../../lib/core/platform.ts";

/**
 * Everything from outside the program. The command line fills it in from the process; a program that uses kiln as a
 * library may supply other values.
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
  /** Base of relative paths in the options. Absolute. */
  readonly workingDirectory: string;
  readonly homeDirectory: string;
  readonly temporaryDirectory: string;
  /** Platform of the machine. */
  readonly platform: Platform;
  /** Node's name of the architecture, `x64`. */
  readonly arch: string;
  readonly processors: number;
  /** Size limit of the store; absent: a share of its size and of the free space on its disk. */
  readonly keepStorageBytes?: number | undefined;
  /** False for a store that has each layer once: compressed layers go when there is another way to their bytes. */
  readonly keepsBlobs?: boolean | undefined;
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  nowMs(): number;
  /** Returns an id that changes with every start of the machine; `undefined` where it is unknown. */
  bootId(): string | undefined;
  stdin(): Readable;
  stdout(): Writable;
}
