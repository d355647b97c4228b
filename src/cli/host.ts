import type { Readable, Writable } from "node:stream";

/** Everything that the command line takes from its process. `main` gets one; tests pass another. */
export interface Host {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly workingDirectory: string;
  /** Folder with kiln.node, kiln-runtime and the worker scripts. */
  readonly partsDirectory: string;
  /** False when running from sources: worker scripts are then `.ts` files. */
  readonly bundled: boolean;
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  /** The kernel's name of this start of the machine. */
  bootId(): string | undefined;
  /**
   * Returns the process's arguments as bytes; `undefined` where the system does not tell. Strings hold U+FFFD for bytes
   * that are not UTF-8.
   */
  rawArguments(): readonly Buffer[] | undefined;
  readonly homeDirectory: string;
  readonly temporaryDirectory: string;
  /** Node's words for the machine. */
  readonly platform: string;
  readonly arch: string;
  readonly processors: number;
  readonly stdin: Readable & { readonly isTTY?: boolean; setRawMode?(isRaw: boolean): unknown };
  readonly stdout: Terminal;
  readonly stderr: Terminal;
  nowMs(): number;
  /** Calls `report` with an uncaught error; the process ends after that, with status 1. */
  onUncaught(report: (error: unknown) => void): Disposable;
  /** Calls `goesOn` when the process goes on after a stop (Ctrl-Z and `fg`). Absent where signals are not ours. */
  onContinue?(goesOn: () => void): Disposable;
  /** Calls `stop` at SIGINT and SIGTERM; a second signal ends the process at once. */
  onInterrupt(stop: (signal: NodeJS.Signals) => void): Disposable;
}

export type Terminal = Writable & {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
};
