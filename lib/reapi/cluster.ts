import { BuildError } from "../core/errors.ts";
import { type BlobName, Blobs, type StorageLimits, toBlobDigest } from "./blobs.ts";
import { Channel, type ChannelOptions } from "./channel.ts";
import { Execution } from "./execution.ts";
import { CallError, clusterFailure, CODES } from "./failure.ts";
import type { ClusterPlace } from "./place.ts";
import { type ActionResult, METHODS, SHA256, ZSTD } from "./protocol.ts";

/** Capabilities that a server states. */
export interface ClusterAbilities {
  readonly storage: StorageLimits;
  /** True where results may be written into the action cache. */
  readonly takesResults: boolean;
  /** True where actions are run. */
  readonly runsActions: boolean;
}

/** Batches of a server that names no limit. */
const USUAL_BATCH_BYTES = 4 << 20;
/** Batches beyond this gain nothing and are held in memory. */
const LARGEST_BATCH_BYTES = 4 << 20;

/** A server of the Remote Execution API: its storage, its action cache, its workers. Nothing is asked before it is used. */
export class Cluster implements Disposable {
  readonly place: ClusterPlace;
  readonly blobs: Blobs;
  readonly execution: Execution;
  readonly #channel: Channel;
  #abilities: Promise<ClusterAbilities> | undefined;

  constructor(options: ChannelOptions) {
    this.place = options.place;
    this.#channel = new Channel(options);
    this.blobs = new Blobs(this.#channel, async (signal) => (await this.abilities(signal)).storage);
    this.execution = new Execution(this.#channel);
  }

  /**
   * Returns what the server can do, asked once.
   * @throws {BuildError} `remote/unreachable`, `remote/denied`; `remote/unsupported` for a server without SHA-256
   */
  async abilities(signal: AbortSignal): Promise<ClusterAbilities> {
    const asked = (this.#abilities ??= this.#ask(signal));
    try {
      return await asked;
    } catch (error) {
      // A server that is away is waited for once, not by each caller. A caller that gave up says nothing of the server.
      if (signal.aborted && this.#abilities === asked) this.#abilities = undefined;
      throw error;
    }
  }

  /** Finds the cached result of an action; `undefined` when there is none. */
  async cachedResult(
    action: BlobName,
    inlined: { readonly files: readonly string[]; readonly output: boolean },
    signal: AbortSignal,
  ): Promise<ActionResult | undefined> {
    return this.#channel.retrying("look into the action cache", signal, async () => {
      try {
        const request = {
          ...this.#named(),
          actionDigest: toBlobDigest(action),
          inlineOutputFiles: inlined.files,
          inlineStdout: inlined.output,
          inlineStderr: inlined.output,
        };
        return await this.#channel.askOnce(METHODS.getActionResult, request, signal);
      } catch (error) {
        if (error instanceof CallError && error.code === CODES.notFound) return undefined;
        throw error;
      }
    });
  }

  /** Writes a result into the action cache. */
  async keepResult(action: BlobName, actionResult: ActionResult, signal: AbortSignal): Promise<void> {
    const request = { ...this.#named(), actionDigest: toBlobDigest(action), actionResult };
    await this.#channel.ask(METHODS.updateActionResult, request, "write into the action cache", signal);
  }

  [Symbol.dispose](): void {
    this.#channel[Symbol.dispose]();
  }

  async #ask(signal: AbortSignal): Promise<ClusterAbilities> {
    const { url, instance } = this.place;
    const doing = "ask what the server can do";
    const { cache, execution } = await this.#channel
      .ask(METHODS.getCapabilities, { instanceName: instance }, doing, signal)
      .catch((error: unknown) => {
        throw error instanceof CallError ? clusterFailure(error, doing, url) : error;
      });
    const functions = cache?.digestFunctions ?? [];
    if (functions.length > 0 && !functions.includes(SHA256)) {
      throw new BuildError("remote/unsupported", `Cannot use ${JSON.stringify(url)}: its storage has no SHA-256`);
    }
    const batch = cache?.maxBatchTotalSizeBytes ?? 0;
    return {
      storage: {
        batchBytes: Math.min(batch > 0 ? batch : USUAL_BATCH_BYTES, LARGEST_BATCH_BYTES) - BATCH_MARGIN_BYTES,
        hasZstd: cache?.supportedCompressors.includes(ZSTD) === true,
      },
      takesResults: cache?.updates?.enabled === true,
      runsActions: execution?.enabled === true,
    };
  }

  #named(): { readonly instanceName: string; readonly digestFunction: number } {
    return { instanceName: this.place.instance, digestFunction: SHA256 };
  }
}

/** Room for what stands around the blobs of a batch: servers have the same limit for a whole message. */
const BATCH_MARGIN_BYTES = 64 << 10;
