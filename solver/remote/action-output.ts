import { BuildError } from "../../lib/core/errors.ts";
import { type BlobName, fromBlobDigest } from "../../lib/reapi/blobs.ts";
import type { Cluster } from "../../lib/reapi/cluster.ts";
import type { ActionResult } from "../../lib/reapi/protocol.ts";

/** A document of a worker is small, or it is none. */
const MAX_DOCUMENT_BYTES = 64 << 10;
/** Lines of a worker's own errors that are shown. */
const SHOWN_LINES = 20;

/**
 * Reads a small blob of an action's result.
 * @throws {BuildError} `remote/failed` for one of more than `most` bytes
 */
export async function smallBlob(
  cluster: Cluster,
  name: BlobName,
  most: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  if (name.size > most)
    throw new BuildError("remote/failed", `Cannot use a worker's result: it has ${name.size} bytes`);
  const [bytes = new Uint8Array()] = await cluster.blobs.readSmall([name], signal);
  return bytes;
}

/** Reads a document that an action has left at a path; `undefined` where it left none. */
export async function resultFile(
  cluster: Cluster,
  { outputFiles }: ActionResult,
  path: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const file = outputFiles.find((one) => one.path === path);
  if (file === undefined) return undefined;
  const bytes =
    file.contents.byteLength > 0
      ? file.contents
      : await smallBlob(cluster, fromBlobDigest(file.digest), MAX_DOCUMENT_BYTES, signal);
  return new TextDecoder().decode(bytes);
}

/** Words the end of a worker that could not do what it was asked for: "run the step". */
export async function workerFailure(
  cluster: Cluster,
  result: ActionResult,
  doing: string,
  signal: AbortSignal,
): Promise<BuildError> {
  const { stderrRaw, stderrDigest, exitCode } = result;
  const name = stderrDigest === undefined ? undefined : fromBlobDigest(stderrDigest);
  const isShown = name !== undefined && name.size > 0 && name.size <= MAX_DOCUMENT_BYTES;
  const said = stderrRaw.byteLength === 0 && isShown ? await smallBlob(cluster, name, name.size, signal) : stderrRaw;
  const text = new TextDecoder().decode(said).trim();
  const { url } = cluster.place;
  return new BuildError(
    "remote/failed",
    `A worker of ${JSON.stringify(url)} could not ${doing}: exit code ${exitCode}`,
    {
      detail: text === "" ? undefined : text.split("\n").slice(-SHOWN_LINES).join("\n"),
      hint: `"kiln doctor --remote ${url}" tries what its workers can do`,
    },
  );
}
