import { BuildError, unreachable } from "../../lib/core/errors.ts";
import type { RunResult } from "../ports.ts";
import { TUN_HINT } from "./network-helper.ts";
import { Refused } from "./sandbox-parts.ts";
import type { StepReport } from "./workers.ts";

/** The end of the command, as the runtime reports it. */
export interface End {
  readonly code: number;
  /** 0 when the command exited by itself. */
  readonly signal: number;
  readonly wallUs: number;
  readonly cpuUs: number;
  readonly maxRssKib: number;
  readonly readBytes: number;
  readonly writtenBytes: number;
  /** Refused request for a network of its own: 0 for none, a port, or 65536 for a raw socket. */
  readonly networkWish: number;
  /** True where the command was refused an owner beyond the ids there are, or a device. */
  readonly ownerWish: boolean;
}

/** A result, with what the command was refused by a network that is not its own. */
export interface SandboxedResult extends RunResult {
  readonly networkWish: string | undefined;
  /** True where the command was refused an owner beyond the ids there are, or a device. */
  readonly ownerWish: boolean;
}

const RAW_SOCKET = 65_536;

/** Names what the command wanted of a network; `undefined` for nothing. */
export function describeWish(wish: number): string | undefined {
  if (wish === 0) return undefined;
  return wish === RAW_SOCKET ? "raw sockets" : `port ${wish}`;
}

/** The end of the warning that begins with such a name. */
export const RUN_AGAIN =
  "cannot be had in this machine's network by a plain user: such a step is run again in a network of its own, from which this " +
  "machine's own ports are not reached (--network=sandbox does so from the start)";

/** The warning of a step that is run again because records of owners or devices are needed. */
export const RUN_AGAIN_WITH_RECORDS =
  "a step makes devices, or gives files to users beyond this user's subordinate ids: it is run again with a record of them, which " +
  "RUN steps with this store keep from now on (docs/rootless.md)";

/** Reads the nine numbers of a report (solver/runtime/program/supervise.c). */
export function parseEnd(text: string): End {
  const numbers = text.split(" ").map(Number);
  const [code = NaN, signal = NaN, wallUs = NaN, cpuUs = NaN, maxRssKib = NaN] = numbers;
  const [readBytes = NaN, writtenBytes = NaN, networkWish = 0, ownerWish = 0] = numbers.slice(5);
  return { code, signal, wallUs, cpuUs, maxRssKib, readBytes, writtenBytes, networkWish, ownerWish: ownerWish === 1 };
}

/** Tells of a report in one line, for KILN_DEBUG. */
export function describeReport(report: StepReport): string {
  switch (report.kind) {
    case "end":
      return `end: ${JSON.stringify(parseEnd(report.text))}`;
    case "failure":
      return `failure: ${report.text}`;
    case "unstartable":
      return `the program could not be started: ${report.cause.message}`;
    default:
      return unreachable(report);
  }
}

/** Makes the error of a step that could not be run; `refused` is the part of the sandbox that was to blame. */
export function runtimeError(text: string, refused: string | undefined): BuildError {
  const hint = HINTS.find(({ pattern }) => pattern.test(text))?.hint;
  const cause = refused === undefined ? undefined : new Refused(refused, text);
  return new BuildError("runtime/failed", `Cannot run the command in a sandbox: ${text}`, { hint, cause });
}

const HINTS: readonly { readonly pattern: RegExp; readonly hint: string }[] = [
  {
    pattern: /namespaces: (?:Operation not permitted|No space left on device|Invalid argument)/,
    hint: '"kiln doctor" says which namespaces this machine allows and how to allow the rest',
  },
  { pattern: /Too many open files/, hint: "allow kiln more: ulimit -n 1024, or LimitNOFILE= of its service" },
  { pattern: /step's network.*tun/s, hint: TUN_HINT },
  {
    pattern: /mapped in this user namespace/,
    hint: "give the user more subordinate ids in /etc/subuid and /etc/subgid",
  },
  {
    pattern: /overlay/,
    hint: '"kiln doctor" tries overlayfs; KILN_SNAPSHOTTER=native in the environment does without it, by copying',
  },
];
