import type { ClusterAbilities } from "../../../lib/reapi/cluster.ts";
import { resultFile, workerFailure } from "../../../solver/remote/action-output.ts";
import { examineAction } from "../../../solver/remote/action.ts";
import { type Examination, EXAMINATION_FILE, readExamination } from "../../../solver/remote/examination.ts";
import type { Engine } from "../engine.ts";
import type { RemoteOptions } from "./remote-options.ts";
import { workerProgram } from "./worker-program.ts";

/** What a cluster says of itself, and what one of its workers found. */
export interface ExaminedCluster {
  readonly url: string;
  readonly abilities: ClusterAbilities;
  /** Bytes of the worker's program that its storage lacked. */
  readonly sentBytes: number;
  /** The worker's report; absent where no actions run. */
  readonly worker?: Examination;
}

/**
 * Has a worker of a cluster examine its machine. Which of them does is the cluster's choice.
 * @throws {BuildError} `remote/...`
 */
export async function examineCluster(
  engine: Pick<Engine, "clusters" | "environment" | "store">,
  { url: given, properties = [] }: Pick<RemoteOptions, "url" | "properties">,
  signal: AbortSignal,
): Promise<ExaminedCluster> {
  const cluster = await (await engine.clusters()).at(given, signal);
  const { url } = cluster.place;
  const abilities = await cluster.abilities(signal);
  if (!abilities.runsActions) return { url, abilities, sentBytes: 0 };
  const program = await workerProgram(engine.environment, engine.store, signal);
  const { action, blobs } = examineAction(program, properties);
  const missing = await cluster.blobs.missing(blobs, signal);
  await cluster.blobs.send(missing, signal);
  const options = { priority: 0, skipsCache: true };
  const { result } = await cluster.execution.run(action, options, { name: "the examination" }, signal);
  const json = await resultFile(cluster, result, EXAMINATION_FILE, signal);
  if (json === undefined) throw await workerFailure(cluster, result, "examine its machine", signal);
  const sentBytes = missing.reduce((sum, { size }) => sum + size, 0);
  return { url, abilities, sentBytes, worker: readExamination(json) };
}
