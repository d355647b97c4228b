import type { Command, Option } from "commander";
import { BuildError } from "../../../lib/core/errors.ts";
import { type AttestationFlags, attestations } from "./attestations.ts";
import { keyValues } from "./csv.ts";

/** Flags of the classic builder that still have a meaning: see `resourceLimits`. */
const RESOURCE_FLAGS = ["memory-swap", "cpu-period", "cpu-quota", "cpuset-cpus", "cpuset-mems"];

/**
 * Flags of the classic builder and buildx without an effect in kiln. Accepted, so that scripts run, and reported as
 * ignored.
 */
const IGNORED: Readonly<Record<string, string>> = {
  builder: "kiln builds by itself",
  debug: "--progress plain shows everything that happens, and an error says all that is known",
  detach: "a build ends with its command",
  invoke: "`kiln shell` opens a shell where a build failed, `kiln run` one in an image",
  on: "--on-error=shell opens a shell where a build failed",
  "server-config": "there is no server",
  isolation: "there is one way to isolate steps on Linux",
  "security-opt": "see --allow and `kiln doctor`",
};

/** The flags as commander reads them. */
export interface AcceptedFlags extends AttestationFlags {
  readonly policy?: readonly string[];
  readonly device?: readonly string[];
  /** The old name of --call. */
  readonly print?: string;
  readonly [name: string]: unknown;
}

/** Heading of the flags that other builders have. */
export const ACCEPTED_GROUP = "Flags of other builders, accepted here:";

/** Flags with an effect, by their declaration. */
const WITH_EFFECT: Readonly<Record<string, string>> = {
  "-m, --memory <bytes>": "memory of RUN: --resource memory=",
  "-c, --cpu-shares <count>": "weight of RUN among others: --resource cpu-shares=",
  "--pull-policy <policy>": "always, missing, newer or never: --pull=",
  "--print <method>": "the old name of --call",
  // Signatures of Docker Content Trust are not checked, as the flag asks.
  "--disable-content-trust": "nothing to disable: content trust is not checked",
};

/** Flags without an effect where they ask for what is so anyway: nothing is sent to a daemon, and no container remains. */
const WITHOUT_EFFECT: Readonly<Record<string, string>> = {
  "--compress": "nothing is sent that could be compressed",
  "--rm": "steps leave no container to remove",
  "--force-rm": "steps leave no container to remove",
};

/** Declares flags of other builders, last in the help: kiln accepts them where it can do so honestly. */
export function declareAccepted(build: Command): void {
  const each = (value: string, before: readonly string[]): readonly string[] => [...before, value];
  const declare = (flags: string, text: string): Option => {
    const option = build.createOption(flags, text).helpGroup(ACCEPTED_GROUP);
    build.addOption(option);
    return option;
  };
  for (const [flags, text] of Object.entries({ ...WITH_EFFECT, ...WITHOUT_EFFECT })) declare(flags, text);
  for (const name of RESOURCE_FLAGS) declare(`--${name} <value>`, `--resource ${name}=`);
  declare("-D, --debug", ignored("debug"));
  declare("--detach", ignored("detach"));
  for (const name of ["builder", "isolation", "invoke", "on", "server-config"]) {
    declare(`--${name} <value>`, ignored(name));
  }
  for (const [flags, text] of Object.entries({
    "--security-opt <option>": ignored("security-opt"),
    "--policy <attributes>": "disabled=true only: kiln evaluates no policies",
    "--device <name>": "refused: kiln has no CDI devices",
  })) {
    build.addOption(build.createOption(flags, text).argParser(each).default([]).helpGroup(ACCEPTED_GROUP));
  }
}

function ignored(name: string): string {
  return `ignored: ${IGNORED[name]}`;
}

/**
 * Lists ignored flags, one sentence each. A policy decides what may be built, so a build without it is not the requested
 * one.
 * @throws {BuildError} `cli/usage`, `runtime/unsupported`
 */
export function ignoredFlags(flags: AcceptedFlags): string[] {
  for (const policy of flags.policy ?? []) refusePolicy(policy);
  for (const device of flags.device ?? []) refuseDevice(device);
  const notices = Object.entries(IGNORED).flatMap(([name, why]) => {
    const key = name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
    const value = flags[key];
    return value === undefined || (Array.isArray(value) && value.length === 0) ? [] : [`--${name} is ignored: ${why}`];
  });
  return [...notices, ...attestations(flags).notices];
}

/** Tells whether a `--policy` turns policies off. */
export function isPolicyDisabled(text: string): boolean {
  return /^(1|t|true)$/i.test(keyValues(text, "policy").get("disabled") ?? "");
}

function refusePolicy(text: string): void {
  if (isPolicyDisabled(text)) return;
  throw new BuildError("build/policy", `Cannot apply --policy ${JSON.stringify(text)}: kiln evaluates no policies`, {
    hint: "check the Dockerfile with a tool of your own; --policy disabled=true builds without",
  });
}

function refuseDevice(name: string): void {
  throw new BuildError(
    "runtime/unsupported",
    `Cannot give --device ${JSON.stringify(name)} to steps: kiln has no CDI devices`,
    {
      hint: "RUN --security=insecure sees all device nodes of this machine (allow it with --allow security.insecure)",
    },
  );
}
