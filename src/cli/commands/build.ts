import { resolve } from "node:path";
import type { Command, Option } from "commander";
import type { CacheOptions } from "../../engine/caches/cache-options.ts";
import type { BuildOptions } from "../../engine/options.ts";
import type { BuildReport } from "../../engine/report.ts";
import { dockerConfigDirectory } from "../../engine/images/registry-options.ts";
import { BuildError } from "../../../lib/core/errors.ts";
import { dockerProxies } from "../../../lib/registry/docker-proxies.ts";
import { type Cli, command, examples, optionsAs } from "../command.ts";
import type { Call } from "../call.ts";
import type { CommandContext } from "../context.ts";
import { declareAccepted, ignoredFlags, isPolicyDisabled } from "../flags/accepted.ts";
import { artifacts, onErrorAction } from "../flags/artifacts.ts";
import { attestations } from "../flags/attestations.ts";
import { type BuildFlags, buildFlagsShape } from "../flags/build-flags.ts";
import { cacheNotices, cacheOptions } from "../flags/cache.ts";
import { readColors } from "../flags/colors.ts";
import { ignoredVariables } from "../flags/variables.ts";
import { malformed, splitCsv } from "../flags/csv.ts";
import { durationMs } from "../flags/duration.ts";
import { loadTarget, outputNotices, outputSpecs } from "../flags/outputs.ts";
import { buildArgs, buildContexts, commaList, extraHosts, labels, memorySize, secrets } from "../flags/values.ts";
import { sshAgents, ulimits } from "../flags/values.ts";
import { declareRemote, remoteOptions, withClusterCache } from "../flags/remote.ts";
import { resourceLimits } from "../flags/resources.ts";
import { printError } from "../print-error.ts";
import { checkResultFiles } from "../result-files.ts";
import { printExplanation } from "../explanation.ts";
import { namesCollector } from "../otlp/target.ts";
import { MODES_TEXT, openProgress, progressMode } from "../progress-output.ts";

/** Declares `kiln build`, with every flag of `docker buildx build` that needs no daemon. */
export function buildCommand(program: Command, cli: Cli): void {
  const build = command(program, cli, "build [path|url|-]", (context, args, options) =>
    run(context, args, optionsAs(buildFlagsShape, options)),
  ).description("build an image from a Dockerfile");
  declareBuildFlags(build);
  build.addHelpText(
    "after",
    examples([
      ["kiln build -t app .", "from ./Dockerfile, into the local store"],
      ["kiln build -t ghcr.io/team/app:1 --push .", "build and push"],
      ["kiln build -o out --target binaries .", "the files of a stage into ./out"],
      ["kiln build --load=docker -t app .", "for docker's engine, which takes only the layers it lacks"],
      ["kiln build --platform amd64,arm64 -t app .", "an index of several platforms"],
      ["kiln build --check .", "only what the build checks find"],
      ["kiln build https://github.com/team/app.git#main", "from a repository"],
    ]),
  );
}

/** Declares the flags of a build, for the commands that build. */
export function declareBuildFlags(build: Command): void {
  const each = (value: string, before: readonly string[]): readonly string[] => [...before, value];
  const list = (flags: string, text: string): Command => build.option(flags, text, each, []);
  build.option("-f, --file <path>", "the Dockerfile: path, URL or - for standard input");
  list("-t, --tag <name>", "a name for the image, repeatable");
  build.option("--target <stage>", "the stage to build");
  list("--platform <os/arch>", "platforms to build for, repeatable or separated by commas");
  list("--build-arg <name=value>", "a value for ARG; a bare name is taken from the environment");
  list("--build-context <name=source>", "directory, docker-image://, oci-layout://, git or http(s) URL under a name");
  list("--label <name=value>", "a label for the image");
  list("--annotation <name=value>", "an annotation for the manifest, or [type:]name=value");
  list("-o, --output <attributes>", "where the result goes: type=image|registry|oci|docker|local|tar, dest=...");
  build.option(
    "--load [engine]",
    "keep the image in the local store (the default without --output); =docker, =podman or =containerd: in theirs as well (KILN_LOAD)",
  );
  build.option("--push", "push the image to its registry");
  build.option("--no-cache", "run every step again");
  build.addOption(noCacheFilter(build));
  list(
    "--cache-from <attributes>",
    "results of other machines: type=registry,ref=NAME, type=local,src=DIRECTORY, s3 or gha",
  );
  list("--cache-to <attributes>", "give results to them: type=registry|local|inline|s3|gha, mode=min|max, mounts=true");
  build.option("--cache-mode <mode>", "which of these count: read, read-write (the default) or off");
  list("--cache-trust <path>", "take only what is signed by this ed25519 public key");
  build.option("--pull", "ask registries whether base images have changed; --pull=newer, missing or never");
  build.option("--pull-ttl <time>", "how long their answer counts: 10m by default, 0s asks each time (KILN_PULL_TTL)");
  build.option("--authfile <path>", "the only file to take accounts for registries from");
  build.option("--offline", "ask no registry: base images are those of the store (KILN_OFFLINE=1)");
  list("--secret <attributes>", "id=NAME[,src=FILE|,env=VARIABLE]");
  list("--ssh <agent>", "default, id=SOCKET or id=KEYFILE[,KEYFILE]");
  build.option("--network <mode>", "network of RUN: default, none, host or sandbox (its own, by pasta or slirp4netns)");
  list("--allow <entitlement>", "network.host, security.insecure or buildx.local.delete");
  list("--add-host <host:ip>", "a line for /etc/hosts of RUN");
  list("--ulimit <name=soft:hard>", "a limit for RUN");
  build.option("--shm-size <bytes>", "size of /dev/shm of RUN");
  build.option("--cgroup-parent <path>", "parent cgroup of RUN");
  list("--resource <name=value>", "memory, memory-swap, cpu-shares, cpu-period, cpu-quota, cpuset-cpus, cpuset-mems");
  build.option("--jobs <count>", "steps at one time (default: processors, at least 4)");
  declareRemote(build);
  list(
    "--artifact <stage:/path=dest>",
    "write files of a stage, also when it failed; failed:/PATH: of the failed step",
  );
  build.option(
    "--on-error <action>",
    "keep: the failed step's files (the default); shell: also open a shell in them; export=DIR: write what it changed",
  );
  build.option(
    "--reproducible",
    "the same image from the same sources: dated by SOURCE_DATE_EPOCH, the commit, or 1970",
  );
  build.option("--verify", "build a second time without cache, and fail with what differs before anything is exported");
  build.option("--lock <path>", "write the digests of all base images and remote sources to a file");
  build.option("--locked", "refuse base images and remote sources that are not those of the --lock file");
  build.option("--expect-cached [stages]", "fail when a step is not in the cache");
  build.option("--explain [format]", "say at the end why steps ran: text, or json for tools (on standard output)");
  build.option(
    "--summary [path]",
    "end with a table of all steps: cached or why not, time, memory, bytes; =FILE: as Markdown",
  );
  build.option("--progress <mode>", MODES_TEXT);
  build.option("--trace <path>", "write what took how long to a file that browsers' tracing pages open");
  build.option("-q, --quiet", "print only the image id");
  build.option("--iidfile <path>", "write the image id to a file");
  build.option("--metadata-file <path>", "write what was built to a file, as JSON");
  build.option("--provenance <attributes>", "attest how the image was built: true, or mode=min|max,version=v1|v0.2");
  build.option("--squash", "make one layer of those that the build adds to the base image");
  build.option("--sbom <attributes>", "attach a list of the image's packages: true or false");
  list(
    "--attest <attributes>",
    "type=sbom, or type=provenance and attributes as for --provenance; mode=max unless given",
  );
  build.option("--attest-style <style>", "where attestations go: index (beside the image, the default) or referrers");
  build.option("--call <method>", "build, check, outline, targets or subrequests.describe; also ,format=json");
  build.option("--check", "report findings of the build checks instead of building");
  declareAccepted(build);
}

/** Declares --no-cache-filter: commander would take the `--no-` for the negation of a flag `--cache-filter`. */
function noCacheFilter(build: Command): Option {
  const option = build
    .createOption("--no-cache-filter <stages>", "run the steps of these stages again")
    .argParser((value: string, before: readonly string[]): readonly string[] => [...before, value])
    .default([]);
  option.negate = false;
  option.attributeName = () => "noCacheFilter";
  return option;
}

async function run(context: CommandContext, args: readonly string[], flags: BuildFlags): Promise<number | void> {
  const [source] = args;
  if (source === undefined) {
    throw new BuildError("cli/usage", 'please specify build context (e.g. "." for the current directory)', {
      hint: "kiln build [-t NAME] PATH",
    });
  }
  if (args.length > 1) {
    throw new BuildError("cli/usage", `Cannot build: one context is expected, and ${args.length} were given`, {
      hint: `quote arguments with spaces; what is ${JSON.stringify(args[1])}?`,
    });
  }
  const { env } = context.host;
  const notices = [
    ...ignoredFlags(flags),
    ...ignoredVariables(env),
    ...outputNotices(flags.output),
    ...cacheNotices(flags),
    ...readColors(env["BUILDKIT_COLORS"] ?? "").notices,
  ];
  for (const notice of notices) context.warn(`WARNING: ${notice}`);
  const options = buildOptions(context, source, flags);
  const files = { iidfile: flags.iidfile || undefined, metadataFile: flags.metadataFile || undefined };
  checkResultFiles(context, files);
  const trace = flags.trace ? (await import("../trace-file.ts")).openTrace(context, flags.trace) : undefined;
  const call = callOf(flags);
  if (call.method !== "build") {
    const { runCall } = await import("../call.ts");
    const status = await runCall(context, options, { ...call, method: call.method });
    trace?.write();
    return status;
  }
  const onError = onErrorAction(flags.onError ?? "keep");
  if (onError.kind === "shell") refuseShell(context);
  const mode = progressMode(flags.progress, flags.quiet === true, context.host);
  const display = openProgress(mode, context.host);
  const explain =
    flags.explain === undefined
      ? undefined
      : oneOf("explain", flags.explain === "" ? "text" : flags.explain, ["text", "json"]);
  let report: BuildReport | undefined;
  const onReport = (made: BuildReport): void => void (report = made);
  const { build } = await import("../../engine/build.ts");
  const { reportResult } = await import("../build-report.ts");
  const summary =
    flags.summary === undefined
      ? undefined
      : (await import("../summary-output.ts")).openSummary(context, flags.summary);
  const shown = summary === undefined ? display.sink : summary.beside(display.sink);
  const progress = trace === undefined ? shown : trace.beside(shown);
  try {
    const wanted = onError.kind === "export" ? [...(options.artifacts ?? []), onError.artifact] : options.artifacts;
    const all = { ...options, progress, onReport, ...(wanted === undefined ? {} : { artifacts: wanted }) };
    const result = await build(all, context.environment, context.signal);
    trace?.write();
    display.finish("success");
    await reportResult(context, result, { mode, ...files });
    await summary?.end("success");
  } catch (error) {
    display.finish("failure");
    trace?.writeAfterFailure();
    await summary?.end("failure");
    if (onError.kind === "shell" && error instanceof BuildError && error.code === "solver/exec-failed") {
      printError(error, context.host);
      const { openShell } = await import("./shell.ts");
      await openShell(context, { id: undefined, words: [], secret: flags.secret, ssh: flags.ssh });
      return 1;
    }
    throw error;
  } finally {
    if (report !== undefined && explain !== undefined) printExplanation(context, report, explain);
    if (report !== undefined && namesCollector(env)) {
      const { sendBuildTrace } = await import("../otlp/trace-sender.ts");
      await sendBuildTrace(context, report, options);
    }
  }
}

/** Refuses --on-error=shell where nobody could type, before anything is built. */
function refuseShell({ host }: CommandContext): void {
  if (host.stdin.isTTY === true) return;
  throw new BuildError("cli/usage", "Cannot use --on-error shell: standard input is not a terminal", {
    hint: "the files of a failed step are kept in any case: kiln shell opens a shell in them later, also with commands from a pipe",
  });
}

export function buildOptions(context: CommandContext, source: string, flags: BuildFlags): BuildOptions {
  const { env } = context.host;
  const args = buildArgs(flags.buildArg, env);
  const remote = remoteOptions(flags, env);
  return {
    context: source,
    // Scripts pass variables that may be empty: these count as no flag.
    dockerfile: flags.file || undefined,
    tags: flags.tag,
    target: flags.target || undefined,
    platforms: platforms(flags.platform, env["DOCKER_DEFAULT_PLATFORM"]),
    buildArgs: { ...dockerProxies(dockerConfigDirectory(context.environment)), ...args },
    contexts: buildContexts(flags.buildContext),
    labels: labels(flags.label),
    outputs: outputSpecs({
      outputs: flags.output,
      annotations: flags.annotation,
      load: loadTarget(flags.load, {
        setting: env["KILN_LOAD"],
        hasOutput: flags.output.length > 0 || flags.push === true,
      }),
      push: flags.push === true,
      noDefaultLoad: /^(1|t|true)$/i.test(env["BUILDX_NO_DEFAULT_LOAD"] ?? ""),
    }),
    noCache: flags.cache ? commaList(flags.noCacheFilter, "no-cache-filter") : true,
    cache: withClusterCache(cacheOf(flags, args["BUILDKIT_INLINE_CACHE"]), remote, flags.cacheMode),
    pull: flags.pull === true || pullOf(flags.pullPolicy),
    pullTtlMs: pullTtlOf(flags.pullTtl, env),
    ...(flags.authfile === undefined ? {} : { accountFile: resolve(context.host.workingDirectory, flags.authfile) }),
    offline: flags.offline === true || env["KILN_OFFLINE"] === "1",
    secrets: secrets(flags.secret, env),
    ssh: sshAgents(flags.ssh, env),
    network: oneOf("network", flags.network || "default", ["default", "none", "host", "sandbox"]),
    allow: entitlements(flags.allow),
    extraHosts: extraHosts(flags.addHost),
    ulimits: ulimits(flags.ulimit),
    // 0 is the usual size, as in docker.
    shmSizeBytes: (flags.shmSize ? memorySize(flags.shmSize, "shm-size") : 0) || undefined,
    policy: flags.policy?.some(isPolicyDisabled) ? "disabled" : undefined,
    cgroupParent: flags.cgroupParent || undefined,
    limits: resourceLimits(flags.resource, flags),
    jobs: flags.jobs === undefined ? undefined : jobsOf(flags.jobs),
    remote,
    reproducible: flags.reproducible === true,
    verify: flags.verify === true,
    ...lockOf(flags),
    expectCached: expectedOf(flags.expectCached),
    squash: flags.squash === true,
    artifacts: artifacts(flags.artifact ?? []),
    ...wantedAttestations(flags),
    recordProvenance: flags.metadataFile ? recordedMode(env["BUILDX_METADATA_PROVENANCE"] ?? "") : undefined,
  };
}

function cacheOf(flags: BuildFlags, inlineArg: string | undefined): CacheOptions {
  const { cacheFrom: from, cacheTo: to, cacheMode: mode, cacheTrust: trust } = flags;
  return cacheOptions({ from, to, mode, trust, inlineArg });
}

function wantedAttestations(flags: BuildFlags): Pick<BuildOptions, "provenance" | "sbom" | "attestStyle"> {
  const { provenance, sbom, attestStyle } = attestations(flags);
  return { provenance, sbom, attestStyle };
}

function entitlements(values: readonly string[]): NonNullable<BuildOptions["allow"]> {
  // Devices are refused where they are used; allowing them does not use any.
  const names = commaList(values, "allow").filter((name) => name !== "device" && !name.startsWith("device="));
  return names.map((name) => oneOf("allow", name, ["network.host", "security.insecure", "buildx.local.delete"]));
}

/** Reads `BUILDX_METADATA_PROVENANCE`; an unknown mode is `min`, as with buildx. */
function recordedMode(text: string): BuildOptions["recordProvenance"] {
  if (text === "disabled" || /^(?:0|f|F|FALSE|false|False)$/.test(text)) return undefined;
  return text === "max" ? "max" : "min";
}

function lockOf({ lock, locked }: BuildFlags): Pick<BuildOptions, "lockFile" | "locked"> {
  if (lock !== undefined && lock !== "") return { lockFile: lock, locked: locked === true };
  if (locked !== true && lock === undefined) return {};
  throw new BuildError("cli/usage", "Cannot lock the sources: no file is given", { hint: "write --lock FILE" });
}

/** Parses --expect-cached; `undefined`: nothing is expected. */
function expectedOf(stages: string | undefined): BuildOptions["expectCached"] {
  if (stages === undefined) return undefined;
  return stages === "" ? "all" : commaList([stages], "expect-cached");
}

export function callOf(flags: BuildFlags): Call {
  const text = flags.check === true ? "check" : flags.call || flags.print || "build";
  const [name = "", ...rest] = text.split(",");
  for (const option of rest) {
    oneOf("call", option, ["format=json", "format=text", "ignorestatus=true", "ignorestatus=false"]);
  }
  const method = oneOf("call", name === "lint" ? "check" : name, [
    ...(["build", "check", "outline", "targets", "subrequests.describe"] as const),
  ]);
  return {
    method,
    format: rest.includes("format=json") ? "json" : "text",
    ignoreStatus: rest.includes("ignorestatus=true"),
  };
}

/** Reads platforms. An empty one is a mistake: the build would be for this machine. */
function platforms(given: readonly string[], byVariable: string | undefined): string[] {
  const values = given.length === 0 && byVariable ? [byVariable] : given;
  return values.flatMap((text) => {
    const list = splitCsv(text, "platform");
    if (list.includes("")) throw malformed("platform", text, "a platform is empty", 'write "linux/amd64,linux/arm64"');
    return list;
  });
}

function oneOf<T extends string>(flag: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((one) => one === value);
  if (found !== undefined) return found;
  throw new BuildError("cli/usage", `Cannot use --${flag} ${JSON.stringify(value)}`, {
    hint: `it is one of ${allowed.join(", ")}`,
  });
}

/** Translates the words of buildah and podman for `--pull`. */
function pullOf(policy: string | undefined): NonNullable<BuildOptions["pull"]> {
  switch (policy) {
    case "never":
    case "newer":
    case "missing":
      return policy;
    case "ifnotpresent":
      return "missing";
    default:
      return policy === "always";
  }
}

function pullTtlOf(flag: string | undefined, env: Readonly<Record<string, string | undefined>>): number | undefined {
  if (flag !== undefined) return durationMs(flag, "--pull-ttl");
  const text = env["KILN_PULL_TTL"];
  return text === undefined || text === "" ? undefined : durationMs(text, "KILN_PULL_TTL");
}

function jobsOf(text: string): number {
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text);
  throw new BuildError("cli/usage", `Cannot use --jobs ${JSON.stringify(text)}: it is a number from 1`);
}
