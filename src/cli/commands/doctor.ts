import type { Command } from "commander";
import { list, object, optional, TEXT } from "../../../lib/core/shape.ts";
import { printable, printableJson } from "../../../lib/core/printable.ts";
import type { ExaminedCluster } from "../../engine/cluster/examine-cluster.ts";
import type { MachineReport } from "../../../solver/remote/examination.ts";
import { type Cli, command, examples, optionsAs } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { type ClusterFlags, clusterOptions, declareCluster } from "../flags/remote.ts";
import { table } from "../table.ts";

/** Declares `kiln doctor`: reports what this machine, or a cluster's, can do for builds, and how to add the rest. */
export function doctorCommand(program: Command, cli: Cli): void {
  const doctor = command(program, cli, "doctor", run)
    .description("try everything that builds need of this machine, or of a cluster's")
    .option("--json", "one object: how steps are isolated, and every check");
  declareCluster(doctor, "have a worker of this cluster try it instead: grpc://HOST:PORT/INSTANCE or grpcs://");
  doctor.addHelpText(
    "after",
    examples([
      ["kiln doctor", "with the command that mends what is missing"],
      ["kiln doctor --remote grpc://cluster.example:8980", "what its workers can do for steps"],
    ]),
  );
}

const clusterFlags = object<ClusterFlags>({
  remote: optional(TEXT),
  remoteHeader: list(TEXT),
  remoteCert: optional(TEXT),
  remoteKey: optional(TEXT),
  remoteCa: optional(TEXT),
  remoteProperty: list(TEXT),
});

async function run(
  context: CommandContext,
  _args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<number> {
  const isJson = options["json"] === true;
  const flags = optionsAs(clusterFlags, options);
  if (flags.remote) return examine(context, flags, isJson);
  const { machineReport } = await import("../../engine/machine-report.ts");
  const report = await machineReport(context.environment, context.signal);
  if (isJson) context.print(printableJson(report, 2));
  else {
    const { isUsable, isolation, root } = report;
    const verdict = isUsable ? ISOLATION[isolation] : "RUN does not work here; COPY, ADD, pull and push do";
    printReport(context, [], report, `${verdict}; the store is ${root}`);
  }
  return report.isUsable ? 0 : 1;
}

async function examine(context: CommandContext, flags: ClusterFlags, isJson: boolean): Promise<number> {
  const { examineCluster } = await import("../../engine/cluster/examine-cluster.ts");
  const { url, properties, access } = clusterOptions(flags.remote ?? "", "--remote", flags);
  if (!isJson) context.warn(`A worker of ${url} is asked; the first time takes kiln and its Node there`);
  await using engine = context.openEngine({
    remoteAccess: access,
    progress: (event) => {
      if (event.kind === "notice") context.warn(event.message);
    },
  });
  const found = await examineCluster(engine, { url, properties }, context.signal);
  const { worker } = found;
  const isUsable = worker?.report.isUsable === true;
  if (isJson) context.print(printableJson({ ...found, isUsable }, 2));
  else {
    const { report = NO_REPORT } = worker ?? {};
    const verdict = isUsable ? ISOLATION[report.isolation] : "RUN does not work on that worker";
    printReport(
      context,
      clusterRows(found),
      report,
      worker === undefined ? NO_ACTIONS : `Steps on a worker: ${verdict}`,
    );
  }
  return isUsable ? 0 : 1;
}

const NO_REPORT = { checks: [], causes: [], isolation: "none" } as const;
const NO_ACTIONS = "No steps run there: use it with --cache-from and --cache-to type=reapi";

/** Rows about the cluster itself, before those of a worker. */
function clusterRows(found: ExaminedCluster): readonly (readonly string[])[] {
  const { abilities, worker, sentBytes } = found;
  const { hasZstd } = abilities.storage;
  const storage = `SHA-256, ${hasZstd ? "zstd" : "no compression"}; ${sentBytes} bytes of the program were sent`;
  const cache = "equal steps of other machines are found by kiln's own records only";
  const rows = [
    ["storage", "ok", storage],
    ["action cache", abilities.takesResults ? "ok" : "read-only", abilities.takesResults ? "takes results" : cache],
    ["execution", abilities.runsActions ? "ok" : "missing", abilities.runsActions ? "runs actions" : "runs no actions"],
  ];
  if (worker === undefined) return rows;
  const { kiln, platform, kernel, processors, hasSharedStore, report } = worker;
  return [
    ...rows,
    ["worker", "ok", `${platform}, Linux ${kernel}, ${processors} processors, kiln ${kiln}`],
    hasSharedStore
      ? ["worker's store", "ok", `${report.root}, shared by its steps: a base is unpacked once`]
      : [
          "worker's store",
          "missing",
          "each step unpacks its base; KILN_WORKER_STORE=/var/cache/kiln in its environment",
        ],
  ];
}

const ISOLATION = {
  root: "RUN works: namespaces made by root",
  "subordinate-ids": "RUN works: a user namespace in which all users of an image exist",
  "single-id": "RUN works: a user namespace with a single id, in which kiln pretends all others",
  chroot: "RUN works with chroot alone: nothing can be mounted, and the first RUN on an image copies its tree",
  none: "RUN does not work here",
} as const;

function printReport(
  context: CommandContext,
  before: readonly (readonly string[])[],
  { checks, causes }: Pick<MachineReport, "checks" | "causes">,
  verdict: string,
): void {
  const rows = checks.map(({ name, ok, detail }) => [name, ok ? "ok" : "missing", detail]);
  for (const line of table(["CHECK", "RESULT", "SEEN"], [...before, ...rows])) context.print(line);
  // A worker's words are not ours.
  for (const { cause, fixes } of causes) {
    context.print(printable(`\n${cause}`));
    for (const [place, line] of Object.entries(fixes)) context.print(printable(`  ${`${place}:`.padEnd(12)}${line}`));
  }
  for (const { name, fix } of checks) {
    if (fix !== undefined) context.print(printable(`\n${name}: ${fix}`));
  }
  context.print(printable(`\n${verdict}`));
}
