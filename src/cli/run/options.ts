import { BuildError } from "../../../lib/core/errors.ts";
import type { PublishedPort } from "../../../solver/ports.ts";
import { readCapabilities } from "../../../solver/runtime/policy/capabilities.ts";
import type { RunImageOptions } from "../../engine/run-image.ts";
import type { CommandContext } from "../context.ts";
import { malformed } from "../flags/csv.ts";
import { resourceLimits } from "../flags/resources.ts";
import { extraHosts, memorySize, ulimits } from "../flags/values.ts";
import { readEnvironment } from "./env-file.ts";
import type { RunFlags } from "./flags.ts";
import { readMounts } from "./mounts.ts";
import { readPorts } from "./ports.ts";

/** Options of a run as the command line gives them; ports of 0 are still to be chosen. */
export type GivenRun = Omit<RunImageOptions, "image" | "command"> & { readonly warnings: readonly string[] };

/**
 * Reads the flags of a run, before an image is looked up.
 * @throws {BuildError} `cli/usage`
 */
export function runOptions(flags: RunFlags & Readonly<Record<string, unknown>>, context: CommandContext): GivenRun {
  const { host } = context;
  const warnings: string[] = [];
  const isReadOnly = flags.readOnly === true;
  const ports = readPorts(flags.publish);
  const network = networkOf(flags.network, ports.length > 0 || flags.publishAll === true, warnings);
  return {
    entrypoint: flags.entrypoint === undefined ? undefined : flags.entrypoint === "" ? [] : [flags.entrypoint],
    env: readEnvironment(flags, host),
    workingDirectory: flags.workdir,
    user: flags.user,
    groups: flags.groupAdd.map(groupId),
    network,
    ports: network === "sandbox" ? ports : [],
    hostname: flags.hostname,
    terminal: host.stdin.isTTY === true && host.stdout.isTTY === true,
    mounts: readMounts(flags, { directory: host.workingDirectory, isReadOnly }),
    isReadOnly,
    extraHosts: extraHosts(flags.addHost),
    shmSizeBytes: (flags.shmSize ? memorySize(flags.shmSize, "shm-size") : 0) || undefined,
    ulimits: ulimits(flags.ulimit),
    limits: { ...resourceLimits([], flags), ...cpus(flags) },
    security: flags.privileged === true ? "insecure" : "sandbox",
    capabilities: { add: capabilities("cap-add", flags.capAdd), drop: capabilities("cap-drop", flags.capDrop) },
    ...securityOptions(flags.securityOpt),
    warnings,
  };
}

function cpus({ cpus: text, ...flags }: RunFlags & Readonly<Record<string, unknown>>): RunImageOptions["limits"] {
  if (text === undefined) return {};
  if (flags["cpuQuota"] !== undefined || flags["cpuPeriod"] !== undefined) {
    throw malformed("cpus", text, "it is another way to write --cpu-quota and --cpu-period", "give one of them");
  }
  if (!/^(?:\d+|\d*\.\d+)$/.test(text) || Number(text) < 0.01) {
    throw malformed("cpus", text, "it is not a number of processors", 'write it like "1.5"');
  }
  return { cpuPeriodUs: 100_000, cpuQuotaUs: Math.round(Number(text) * 100_000) };
}

function capabilities(flag: string, names: readonly string[]): readonly string[] {
  const { unknown } = readCapabilities(names);
  if (unknown === undefined) return names.map((name) => name.toUpperCase());
  throw malformed(
    flag,
    unknown,
    "there is no such capability",
    "capabilities(7) lists them: NET_ADMIN, SYS_PTRACE, ALL",
  );
}

function groupId(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw malformed("group-add", text, "it is not a number", "getent group NAME says which it is");
}

function securityOptions(options: readonly string[]): Pick<RunImageOptions, "noNewPrivileges" | "isUnfiltered"> {
  let noNewPrivileges = false;
  let isUnfiltered = false;
  for (const option of options) {
    const [name = "", value = ""] = option.split(/[=:](.*)/s, 2);
    if (name === "no-new-privileges") noNewPrivileges = value !== "false";
    else if (name === "seccomp" && value === "unconfined") isUnfiltered = true;
    else if (
      !(name === "seccomp" && value === "builtin") &&
      name !== "label" &&
      !(name === "apparmor" && value === "unconfined")
    ) {
      throw malformed("security-opt", option, "it is not available", "no-new-privileges, seccomp=unconfined");
    }
  }
  return { noNewPrivileges, isUnfiltered };
}

function networkOf(text: string | undefined, hasPorts: boolean, warnings: string[]): RunImageOptions["network"] {
  const network = text === undefined || text === "" || text === "bridge" ? "default" : text;
  if (network === "default") return hasPorts ? "sandbox" : "default";
  if (network === "sandbox") return network;
  if (network === "none" || network === "host") {
    if (hasPorts) warnings.push(`published ports have no effect with --network=${network}`);
    return network;
  }
  throw new BuildError("cli/usage", `Cannot use --network ${JSON.stringify(text)}`, {
    hint: "use default, none, host or sandbox",
  });
}

/** Says where ports are that were not chosen by the caller. */
export function describePorts(asked: readonly PublishedPort[], chosen: readonly PublishedPort[]): string[] {
  if (asked.every(({ hostPort }) => hostPort !== 0)) return [];
  return chosen.map(
    ({ port, protocol, address, hostPort }) =>
      `kiln: port ${port}/${protocol} is at ${address ?? "127.0.0.1"}:${hostPort}`,
  );
}
