import { mkdtempSync, rmSync, statfsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { Command } from "commander";
import { BuildError } from "../../../lib/core/errors.ts";
import { type Cli, command } from "../command.ts";
import type { CommandContext } from "../context.ts";

/** Declares `kiln worker-run`: runs one step for another machine, which has described it in a document. */
export function workerRunCommand(program: Command, cli: Cli): void {
  command(program, cli, "worker-run [step]", run)
    .description("run one step for a client on another machine (clusters do this)")
    .option("--examine", "try what this machine can do for steps instead, into out/examination.json")
    .addHelpText(
      "after",
      "\nKILN_WORKER_STORE names a folder that the steps of this machine share; KILN_KEEP_STORAGE is its limit.",
    );
}

async function run(
  context: CommandContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<number> {
  if (options["examine"] === true) return examine(context);
  const [step] = args;
  if (step === undefined) throw new BuildError("cli/usage", "kiln worker-run needs the document of a step");
  const { runGivenStep } = await import("../../engine/worker/run-step.ts");
  const { Engine } = await import("../../engine/engine.ts");
  const path = resolve(context.environment.workingDirectory, step);
  const folder = dirname(path);
  using store = workerStore(context, folder);
  const environment = { ...context.environment, root: store.path };
  const warn = (message: string): void => context.warn(`kiln worker: ${message}`);
  await using engine = new Engine(environment, {
    progress: (event) => {
      if (event.kind === "notice" && event.level === "warning") warn(event.message);
    },
  });
  const { stdout, stderr } = context.host;
  const onOutput = (stream: "stdout" | "stderr", chunk: Uint8Array): void => {
    (stream === "stdout" ? stdout : stderr).write(Buffer.from(chunk));
  };
  const result = await runGivenStep(engine, { path, folder, onOutput }, context.signal);
  if (store.isShared) {
    const { collectAfterBuild } = await import("../../engine/collect.ts");
    await collectAfterBuild(engine, () => {}, context.signal);
  }
  return result.exitCode === 0 ? 0 : 1;
}

async function examine(context: CommandContext): Promise<number> {
  const { examineWorker } = await import("../../engine/worker/examine-worker.ts");
  const folder = context.environment.workingDirectory;
  using store = workerStore(context, folder);
  const environment = { ...context.environment, root: store.path };
  await examineWorker(environment, { folder, hasSharedStore: store.isShared }, context.signal);
  return 0;
}

interface WorkerStore extends Disposable {
  readonly path: string;
  /** True for a store that outlives the step. */
  readonly isShared: boolean;
}

/** The file system type of FUSE, on which overlayfs cannot work: clusters show an action's inputs through it. */
const FUSE_SUPER_MAGIC = 0x65735546;

/** Chooses the store: the machine's own; else a folder of the step's, or a temporary one where that cannot hold layers. */
function workerStore({ environment }: CommandContext, folder: string): WorkerStore {
  const shared = environment.env["KILN_WORKER_STORE"] ?? "";
  if (shared !== "") return { path: resolve(shared), isShared: true, [Symbol.dispose]: () => {} };
  const base = statfsSync(folder).type === FUSE_SUPER_MAGIC ? environment.temporaryDirectory : folder;
  const path = mkdtempSync(join(base, "kiln-step-"));
  return { path, isShared: false, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}
