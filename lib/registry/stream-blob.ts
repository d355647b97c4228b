import { Readable } from "node:stream";
import { BuildError } from "../core/errors.ts";
import { refused, unreachable } from "./failure.ts";
import type { StreamedBlob, Timer } from "./registry.ts";
import { isPassingRefusal, UploadSession, type UploadTarget } from "./upload-session.ts";

/** Limit of failures without progress between them. */
const MAX_STALLS = 3;
/** Bytes that count as progress. */
const PROGRESS_BYTES = 1 << 20;
const FIRST_PAUSE_MS = 500;

/**
 * Uploads bytes before their digest is known: POST, a PATCH of unknown length, and at `finish` the PUT that names the
 * digest. After a broken connection the rest is sent, if the registry says how much it has.
 * @param open opens the bytes from an offset; they end when all are there
 * @returns when the registry has all bytes
 */
export async function streamBlob(
  target: UploadTarget & { readonly timer: Timer },
  open: (offsetBytes: number) => AsyncIterable<Buffer>,
  signal: AbortSignal,
): Promise<StreamedBlob> {
  const session = await UploadSession.begin(target, signal);
  try {
    for (let stalls = 0, furthest = 0; ;) {
      const failure = await sendRest(session, open, target, signal);
      if (failure === undefined) return streamed(session, target);
      if (failure !== "short" && !(await session.refresh(signal))) throw failure;
      const hasProgress = session.sizeBytes >= furthest + PROGRESS_BYTES;
      if (hasProgress) furthest = session.sizeBytes;
      stalls = hasProgress ? 0 : stalls + 1;
      if (stalls === MAX_STALLS) throw failure === "short" ? new Error("the registry takes no more bytes") : failure;
      if (stalls > 0) await target.timer.wait(FIRST_PAUSE_MS * 2 ** (stalls - 1), signal);
    }
  } catch (error) {
    await session.cancel();
    throw error;
  }
}

function streamed(session: UploadSession, { purpose }: UploadTarget): StreamedBlob {
  return {
    finish: async (digest, signal) => {
      const refusal = await session.finish(digest, undefined, signal);
      if (refusal !== undefined) throw refused(purpose, refusal);
    },
    cancel: () => session.cancel(),
  };
}

/**
 * Sends everything from the registry's offset on in one request.
 * @returns a failure that may pass; `short` when the registry took less than was sent; `undefined` at the end
 */
async function sendRest(
  session: UploadSession,
  open: (offsetBytes: number) => AsyncIterable<Buffer>,
  { purpose }: UploadTarget,
  signal: AbortSignal,
): Promise<BuildError | Error | "short" | undefined> {
  const from = session.sizeBytes;
  let takenBytes = 0;
  let isWhole = false;
  let sourceFailure: { readonly error: unknown } | undefined;
  const counted = async function* (): AsyncGenerator<Buffer> {
    const source = open(from)[Symbol.asyncIterator]();
    try {
      for (;;) {
        // Only the source's own failures: a request that breaks off throws at the yield.
        const step = await source.next().catch((error: unknown) => {
          sourceFailure = { error };
          throw error;
        });
        if (step.done === true) break;
        takenBytes += step.value.length;
        yield step.value;
      }
      isWhole = true;
    } finally {
      await source.return?.();
    }
  };
  const body = {
    sizeBytes: undefined,
    takenBytes: () => takenBytes,
    open: () => Readable.from(counted(), { objectMode: false, highWaterMark: 1 << 20 }),
  };
  try {
    const refusal = await session.append(body, signal);
    if (refusal === undefined) return isWhole && session.sizeBytes === from + takenBytes ? undefined : "short";
    const failure = refused(purpose, refusal);
    if (!isPassingRefusal(refusal)) throw failure;
    return failure;
  } catch (error) {
    signal.throwIfAborted();
    const isFinal = error instanceof BuildError && error.code !== "registry/unreachable";
    if (sourceFailure !== undefined) throw unreachable(purpose, sourceFailure.error);
    if (isFinal) throw error;
    const failure = unreachable(purpose, error);
    return failure instanceof Error ? failure : new Error("the connection broke", { cause: failure });
  }
}
