import type { Command } from "commander";
import { BuildError } from "../../../lib/core/errors.ts";
import { FLAG, list, object, optional, TEXT } from "../../../lib/core/shape.ts";

/** The flags as commander reads them; those of limits by `resourceLimits`. */
export interface RunFlags {
  readonly env: readonly string[];
  readonly envFile: readonly string[];
  readonly volume: readonly string[];
  readonly mount: readonly string[];
  readonly tmpfs: readonly string[];
  readonly publish: readonly string[];
  readonly publishAll?: boolean;
  readonly workdir?: string;
  readonly user?: string;
  readonly groupAdd: readonly string[];
  readonly entrypoint?: string;
  readonly network?: string;
  readonly hostname?: string;
  readonly addHost: readonly string[];
  readonly readOnly?: boolean;
  readonly cpus?: string;
  readonly shmSize?: string;
  readonly ulimit: readonly string[];
  readonly capAdd: readonly string[];
  readonly capDrop: readonly string[];
  readonly securityOpt: readonly string[];
  readonly privileged?: boolean;
  readonly platform?: string;
  readonly pull?: string;
  readonly quiet?: boolean;
}

export const runFlagsShape = object<RunFlags>({
  env: list(TEXT),
  envFile: list(TEXT),
  volume: list(TEXT),
  mount: list(TEXT),
  tmpfs: list(TEXT),
  publish: list(TEXT),
  publishAll: optional(FLAG),
  workdir: optional(TEXT),
  user: optional(TEXT),
  groupAdd: list(TEXT),
  entrypoint: optional(TEXT),
  network: optional(TEXT),
  hostname: optional(TEXT),
  addHost: list(TEXT),
  readOnly: optional(FLAG),
  cpus: optional(TEXT),
  shmSize: optional(TEXT),
  ulimit: list(TEXT),
  capAdd: list(TEXT),
  capDrop: list(TEXT),
  securityOpt: list(TEXT),
  privileged: optional(FLAG),
  platform: optional(TEXT),
  pull: optional(TEXT),
  quiet: optional(FLAG),
});

const ACCEPTED = "Flags of docker's, accepted here:";
const NOT_ITS_JOB = "Flags of docker's that are not the job of kiln run:";

const DOCKER = "kiln build --load=docker -t NAME ., then docker run";
const BY_SHELL = "the command runs in front of you and ends with Ctrl-C";

/** Flags without an effect, for what they ask is so anyway or concerns a daemon. */
const WITHOUT_EFFECT: Readonly<Record<string, string>> = {
  "--rm": "nothing is ever kept",
  "-i, --interactive": "standard input is always passed on",
  "-t, --tty": "a call from a terminal always gets one inside",
  "--init": "process 1 is always an init that reaps",
  "-l, --label <name=value>": "there is no container that could have it",
  "--label-file <path>": "there is no container that could have it",
  "--name <name>": "there is no container to name: a run ends with its command",
  "--sig-proxy": "signals always reach the command",
  "--detach-keys <keys>": "a run cannot be left alone",
  "-a, --attach <stream>": "all three streams are attached",
  "--expose <port>": "-p publishes a port",
  "--stop-signal <signal>": "the command gets the signal that kiln gets",
  "--stop-timeout <seconds>": "a second signal ends it at once",
  "--log-driver <name>": "output goes where kiln's goes",
  "--log-opt <option>": "output goes where kiln's goes",
  "--cgroupns <mode>": "the command has a cgroup namespace of its own",
  "--no-healthcheck": "nobody asks how it is",
};

/** Flags for which kiln run has another way. */
const ELSEWHERE: Readonly<Record<string, readonly [why: string, instead: string]>> = {
  "-d, --detach": ["it runs nothing in the background", `${DOCKER} -d; or kiln run ... &`],
  "--restart <policy>": ["it restarts nothing", `${DOCKER} --restart; or a service of systemd that calls kiln run`],
  "--cidfile <path>": ["there is no container with an id", BY_SHELL],
  "--link <name>": ["there are no other containers", "--network=host, where services find each other at 127.0.0.1"],
  "--volumes-from <name>": ["there are no other containers", "-v FOLDER:TARGET for each"],
  "--gpus <request>": ["it gives no devices", `${DOCKER} --gpus`],
  "--device <path>": ["it gives no devices one by one", "--privileged, with all of them"],
  "--health-cmd <command>": ["nobody asks how it is", DOCKER],
  "--ip <address>": ["its network has one address", "-p ADDRESS:PORT:PORT publishes at one of this machine"],
  "--dns <address>": ["names are those of this machine", "--add-host NAME:ADDRESS"],
  "--pid <mode>": ["processes are always its own", "nsenter, from this machine"],
  "--ipc <mode>": ["shared memory is always its own", "--shm-size for more of it"],
  "--userns <mode>": ["ids are those of a build", "see kiln doctor"],
  "--runtime <name>": ["it has one runtime", DOCKER],
  "--sysctl <name=value>": ["it sets no kernel parameters", DOCKER],
};

/** Declares the flags of docker run. */
export function declareRunFlags(run: Command): void {
  const each = (value: string, before: readonly string[]): readonly string[] => [...before, value];
  const many = (flags: string, text: string): Command => run.option(flags, text, each, []);
  many("-e, --env <name=value>", "an environment variable; a bare name is passed on");
  many("--env-file <path>", "a file of them, a line each");
  many("-v, --volume <path:target[:ro]>", "a directory or file of this machine");
  many("--mount <attributes>", "type=bind,source=,target=[,readonly] or type=tmpfs,target=[,tmpfs-size=,tmpfs-mode=]");
  many("--tmpfs <target[:options]>", "an empty folder in memory: size=64m, mode=755, exec");
  many("-p, --publish <[address:]port:port>", "a port of this machine that leads to one inside, through pasta");
  run.option("-P, --publish-all", "each port that the image declares, at a free one");
  run.option("-w, --workdir <path>", "where to run");
  run.option("-u, --user <user[:group]>", "the user that runs it");
  many("--group-add <group>", "another group of the user's, by its number");
  run.option("--entrypoint <program>", "instead of the image's own; empty for none");
  run.option("--network <mode>", "default (with ports: sandbox), none, host or sandbox");
  run.option("-h, --hostname <name>", "the container's name of itself");
  many("--add-host <host:ip>", "a line for its /etc/hosts");
  run.option("--read-only", "the image's files cannot be changed");
  run.option("-m, --memory <bytes>", "the most memory it may use");
  run.option("--memory-swap <bytes>", "memory and swap together; -1 for any amount of swap");
  run.option("--cpus <number>", "the most processors it may use: 1.5");
  run.option("-c, --cpu-shares <count>", "its weight among others");
  run.option("--cpu-period <microseconds>", "the period of its quota");
  run.option("--cpu-quota <microseconds>", "its processor time in each period");
  run.option("--cpuset-cpus <list>", "the processors it may use: 0-3");
  run.option("--cpuset-mems <list>", "the memory nodes it may use");
  run.option("--shm-size <bytes>", "size of /dev/shm");
  many("--ulimit <name=soft:hard>", "a limit");
  many("--cap-add <capability>", "a capability beside the usual ones, or ALL");
  many("--cap-drop <capability>", "a usual capability to leave out, or ALL");
  many("--security-opt <option>", "no-new-privileges, or seccomp=unconfined");
  run.option("--privileged", "all capabilities, devices and system calls: your call is the permission");
  run.option("--platform <os/arch>", "which of several platforms");
  run.option("--pull [policy]", "ask the registry first: always; missing (the default) or never");
  run.option("-q, --quiet", "say nothing of a pull");
  for (const [flags, text] of Object.entries(WITHOUT_EFFECT)) {
    run.addOption(run.createOption(flags, text).helpGroup(ACCEPTED));
  }
  for (const [flags, [why]] of Object.entries(ELSEWHERE)) {
    run.addOption(run.createOption(flags, why).helpGroup(NOT_ITS_JOB));
  }
}

/**
 * Refuses flags of docker's that would need containers which outlive their command.
 * @throws {BuildError} `cli/usage`
 */
export function refuseNotItsJob(options: Readonly<Record<string, unknown>>): void {
  for (const [flags, [why, instead]] of Object.entries(ELSEWHERE)) {
    const [, name = ""] = /--([\w-]+)/.exec(flags) ?? [];
    const value = options[name.replaceAll(/-(.)/g, (_, letter: string) => letter.toUpperCase())];
    if (value === undefined || value === false) continue;
    throw new BuildError("cli/usage", `--${name} is not the job of kiln run: ${why}`, { hint: instead });
  }
}
