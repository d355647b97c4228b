import { randomUUID } from "node:crypto";
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import {
  type sendUnaryData,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
} from "@grpc/grpc-js";
import { Semaphore } from "../../core/limits.ts";
import { digestOf, hexOf } from "../../core/digest.ts";
import { CODES } from "../failure.ts";
import {
  Action,
  type ActionResult,
  AnyMessage,
  type BlobDigest,
  Command,
  ExecuteOperationMetadata,
  ExecuteResponse,
  type Method,
  METHODS,
  Operation,
  PreconditionFailure,
  RpcStatus,
  SHA256,
  ZSTD,
} from "../protocol.ts";
import { checkTree, ProcessWorker, type StandInWorker } from "./stand-in-worker.ts";

const KEPT_BYTES = 5 << 20;

/** The name of a call: that of its method, without the service. */
type CallName = keyof typeof METHODS;

/** Faults made on purpose. A fault is asked before each call; numbers count from 1 for each name. */
export interface Faults {
  /** A status code with which the call fails. */
  answer?: (call: CallName, number: number) => number | undefined;
  /** True to break the stream of an action that was accepted. */
  breaksStream?: (number: number) => boolean;
  /** A status code with which an action ends, its worker being lost. */
  losesWorker?: (run: number) => number | undefined;
  /** Changes the bytes of a blob that is read. */
  changes?: (hash: string, data: Buffer) => Buffer;
  /** Changes a result before it is sent. */
  changesResult?: (result: ActionResult) => ActionResult;
  /** Bytes of a read after which its stream breaks. */
  cutsReadAfter?: (number: number) => number | undefined;
}

export interface StandInOptions {
  readonly faults?: Faults;
  readonly hasZstd?: boolean;
  /** Actions at one time. */
  readonly workers?: number;
  /** The worker that carries actions out; processes of this machine unless it is given. */
  readonly worker?: StandInWorker;
  /** Variables of those processes. */
  readonly env?: Readonly<Record<string, string>>;
  /** A header without which every call is refused. */
  readonly header?: readonly [name: string, value: string];
  readonly runsActions?: boolean;
  readonly credentials?: ServerCredentials;
}

/** A running action, or one that has ended. */
interface Running {
  ended: Promise<ExecuteResult>;
  isCancelled: boolean;
  stage: number;
  kill?: () => void;
}

type ExecuteResult = { readonly response: Buffer } | { readonly lost: number };

/** A server of the Remote Execution API in this process: its storage is a map, its workers are what it is given. */
export class StandIn implements AsyncDisposable {
  readonly blobs = new Map<string, Buffer>();
  readonly results = new Map<string, ActionResult>();
  readonly counts = new Map<CallName, number>();
  /** Actions that were run, by their hashes. */
  readonly executed: string[] = [];
  readonly cancelled: string[] = [];
  faults: Faults;
  /** The largest number of actions at one time. */
  mostRunning = 0;
  #runningNow = 0;
  sentBytes = 0;
  receivedBytes = 0;
  #server = new Server();
  readonly #options: StandInOptions;
  readonly #running = new Map<string, Running>();
  readonly #uploads = new Map<string, { readonly chunks: Buffer[]; size: number }>();
  readonly #worker: StandInWorker;
  readonly #slots: Semaphore;
  #port = 0;

  private constructor(options: StandInOptions) {
    this.#options = options;
    this.faults = options.faults ?? {};
    this.#slots = new Semaphore(options.workers ?? 4);
    this.#worker = options.worker ?? new ProcessWorker(options.env ?? {});
  }

  static async start(options: StandInOptions = {}): Promise<StandIn> {
    const made = new StandIn(options);
    await made.#listen();
    return made;
  }

  get url(): string {
    const scheme = this.#options.credentials === undefined ? "grpc" : "grpcs";
    return `${scheme}://localhost:${this.#port}/tests`;
  }

  /** Loses all blobs but the large ones, which take long to send: a worker's program. */
  lose(): void {
    for (const [hash, data] of this.blobs) if (data.length < KEPT_BYTES) this.blobs.delete(hash);
  }

  /** Forgets everything that a test did, but for those. */
  reset(): void {
    this.lose();
    this.results.clear();
    this.counts.clear();
    this.executed.length = 0;
    this.cancelled.length = 0;
    this.faults = {};
  }

  /** Breaks all connections; actions that run go on. */
  stop(): void {
    this.#server.forceShutdown();
  }

  /** Listens again where it did before. */
  async restart(): Promise<void> {
    this.#server = new Server();
    await this.#listen();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const running of this.#running.values()) running.kill?.();
    this.#server.forceShutdown();
    this.#worker[Symbol.dispose]();
  }

  async #listen(): Promise<void> {
    this.#register();
    const credentials = this.#options.credentials ?? ServerCredentials.createInsecure();
    this.#port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(`127.0.0.1:${this.#port}`, credentials, (error, port) =>
        error === null ? resolve(port) : reject(error),
      );
    });
  }

  #register(): void {
    this.#unary("getCapabilities", METHODS.getCapabilities, () => ({
      cache: {
        digestFunctions: [SHA256],
        updates: { enabled: true },
        maxBatchTotalSizeBytes: 1 << 20,
        supportedCompressors: this.#options.hasZstd === true ? [ZSTD] : [],
      },
      execution: { digestFunction: SHA256, enabled: this.#options.runsActions !== false, digestFunctions: [SHA256] },
    }));
    this.#unary("findMissingBlobs", METHODS.findMissingBlobs, ({ blobDigests }) => ({
      missingBlobDigests: blobDigests.filter(({ hash, sizeBytes }) => sizeBytes > 0 && !this.blobs.has(hash)),
    }));
    this.#unary("batchUpdateBlobs", METHODS.batchUpdateBlobs, ({ requests }) => ({
      responses: requests.map(({ digest, data }) => {
        this.receivedBytes += data.byteLength;
        const isRight = digest !== undefined && hexOf(digestOf(data)) === digest.hash;
        if (isRight) this.blobs.set(digest.hash, Buffer.from(data));
        return { digest, status: RpcStatus.of({ code: isRight ? CODES.ok : CODES.invalidArgument }) };
      }),
    }));
    this.#unary("batchReadBlobs", METHODS.batchReadBlobs, ({ digests }) => ({
      responses: digests.map((digest) => {
        const data = this.#read(digest.hash);
        this.sentBytes += data?.byteLength ?? 0;
        const code = data === undefined ? CODES.notFound : CODES.ok;
        return { digest, data: data ?? Buffer.of(), status: RpcStatus.of({ code }) };
      }),
    }));
    this.#unary("getActionResult", METHODS.getActionResult, ({ actionDigest }) =>
      this.results.get(actionDigest?.hash ?? ""),
    );
    this.#unary("updateActionResult", METHODS.updateActionResult, ({ actionDigest, actionResult }) => {
      if (actionDigest !== undefined && actionResult !== undefined) this.results.set(actionDigest.hash, actionResult);
      return actionResult;
    });
    this.#unary("cancelOperation", METHODS.cancelOperation, ({ name }) => {
      this.cancelled.push(name);
      const running = this.#running.get(name);
      if (running !== undefined) running.isCancelled = true;
      running?.kill?.();
      return {};
    });
    this.#unary("queryWriteStatus", METHODS.queryWriteStatus, ({ resourceName }) => {
      const upload = this.#uploads.get(resourceName);
      return upload === undefined ? undefined : { committedSize: upload.size, complete: false };
    });
    this.#stream("read", METHODS.read, async ({ resourceName, readOffset }, call, number) => {
      const [hash = ""] = resourceName.split("/").slice(-2);
      const data = this.#read(hash);
      if (data === undefined) throw status(CODES.notFound, "no such blob");
      const rest = data.subarray(readOffset);
      const bytes = resourceName.includes("compressed-blobs/zstd") ? zstdCompressSync(rest) : rest;
      const cut = this.faults.cutsReadAfter?.(number);
      for (let at = 0; at < bytes.length; at += 1 << 16) {
        if (cut !== undefined && at >= cut) throw status(CODES.unavailable, "cut");
        const piece = bytes.subarray(at, at + (1 << 16));
        this.sentBytes += piece.length;
        call.write({ data: piece });
      }
    });
    this.#stream("execute", METHODS.execute, async ({ actionDigest, skipCacheLookup }, call, number) => {
      const name = `operations/${randomUUID()}`;
      const cached = skipCacheLookup ? undefined : this.results.get(actionDigest?.hash ?? "");
      if (cached !== undefined) {
        call.write(ended(name, ExecuteResponse.encode({ result: cached, cachedResult: true })));
        return;
      }
      this.#start(name, actionDigest?.hash ?? "", number);
      await this.#follow(name, call, number);
    });
    this.#stream("waitExecution", METHODS.waitExecution, async ({ name }, call) => {
      await this.#follow(name, call, undefined);
    });
    this.#server.register(
      METHODS.write.path,
      (
        call: AsyncIterable<ReturnType<typeof METHODS.write.request.decode>>,
        answer: sendUnaryData<{ committedSize: number }>,
      ) => {
        this.#write(call).then(
          (committedSize) => answer(null, { committedSize }),
          (error: unknown) => answer(failureOf(error)),
        );
      },
      (value: { committedSize: number }) => METHODS.write.response.encode(value),
      (bytes) => METHODS.write.request.decode(bytes),
      "clientStream",
    );
  }

  async #write(call: AsyncIterable<ReturnType<typeof METHODS.write.request.decode>>): Promise<number> {
    const fault = this.#count("write");
    let name = "";
    for await (const request of call) {
      if (request.resourceName !== "") name = request.resourceName;
      this.receivedBytes += request.data.byteLength;
      const upload = this.#uploads.get(name) ?? { chunks: [], size: 0 };
      this.#uploads.set(name, upload);
      if (request.writeOffset !== upload.size) throw status(CODES.outOfRange, "bytes are missing");
      upload.chunks.push(Buffer.from(request.data));
      upload.size += request.data.byteLength;
      if (fault !== undefined) throw status(fault, "fault");
      if (!request.finishWrite) continue;
      const [hash = ""] = name.split("/").slice(-2);
      const whole = Buffer.concat(upload.chunks);
      const data = name.includes("compressed-blobs/zstd") ? zstdDecompressSync(whole) : whole;
      this.#uploads.delete(name);
      if (hexOf(digestOf(data)) !== hash) throw status(CODES.invalidArgument, "the bytes have another digest");
      this.blobs.set(hash, data);
      return whole.length;
    }
    throw status(CODES.cancelled, "no end");
  }

  #start(name: string, hash: string, number: number): void {
    const running: Running = { ended: Promise.resolve({ lost: CODES.unknown }), isCancelled: false, stage: 2 };
    this.#running.set(name, running);
    running.ended = this.#execute(hash, number, running);
  }

  async #follow(
    name: string,
    call: { write(message: Partial<Operation>): unknown },
    number: number | undefined,
  ): Promise<void> {
    const running = this.#running.get(name);
    if (running === undefined) throw status(CODES.notFound, "no such operation");
    const stage = ExecuteOperationMetadata.encode({ stage: running.stage });
    call.write({ name, metadata: AnyMessage.of({ typeUrl: "type.googleapis.com/m", value: stage }) });
    if (number !== undefined && this.faults.breaksStream?.(number) === true) throw status(CODES.unavailable, "broken");
    const result = await running.ended;
    if ("lost" in result)
      call.write({ name, done: true, error: RpcStatus.of({ code: result.lost, message: "worker lost" }) });
    else call.write(ended(name, result.response));
  }

  async #execute(hash: string, number: number, running: Running): Promise<ExecuteResult> {
    using _ = await this.#slots.acquire(0, new AbortController().signal);
    running.stage = 3;
    const lost = this.faults.losesWorker?.(number);
    if (lost !== undefined) return { lost };
    const missing = new Set<BlobDigest>();
    const needed = (digest: BlobDigest | undefined): Buffer => {
      const found = this.blobs.get(digest?.hash ?? "");
      if (found === undefined && digest !== undefined && digest.sizeBytes > 0) missing.add(digest);
      return found ?? Buffer.of();
    };
    const { commandDigest, inputRootDigest, doNotCache } = Action.decode(this.blobs.get(hash) ?? Buffer.of());
    const command = Command.decode(needed(commandDigest));
    checkTree(inputRootDigest, needed);
    if (missing.size > 0 || !this.blobs.has(hash)) return { response: missingResponse([...missing]) };
    this.executed.push(hash);
    const job = { hash, command, root: inputRootDigest, needed, keep: (data: Buffer) => this.keep(data) };
    this.#runningNow += 1;
    this.mostRunning = Math.max(this.mostRunning, this.#runningNow);
    const result = await this.#worker.run(job, (kill) => (running.kill = kill)).finally(() => (this.#runningNow -= 1));
    if (running.isCancelled) return { lost: CODES.cancelled };
    if (result.exitCode === 0 && !doNotCache) this.results.set(hash, result);
    const sent = this.faults.changesResult?.(result) ?? result;
    return { response: ExecuteResponse.encode({ result: sent, status: RpcStatus.of({}) }) };
  }

  /** Puts a blob into the storage. */
  keep(data: Buffer): BlobDigest {
    const hash = hexOf(digestOf(data));
    this.blobs.set(hash, data);
    return { hash, sizeBytes: data.length };
  }

  #read(hash: string): Buffer | undefined {
    const data = this.blobs.get(hash);
    return data === undefined ? undefined : (this.faults.changes?.(hash, data) ?? data);
  }

  #count(name: CallName): number | undefined {
    const number = (this.counts.get(name) ?? 0) + 1;
    this.counts.set(name, number);
    return this.faults.answer?.(name, number);
  }

  #refusal(call: { readonly metadata: { get(name: string): readonly unknown[] } }): number | undefined {
    const { header } = this.#options;
    if (header === undefined || call.metadata.get(header[0])[0] === header[1]) return undefined;
    return CODES.unauthenticated;
  }

  #unary<Request, Response>(
    name: CallName,
    method: Method<Request, Response>,
    answer: (request: Request) => Partial<Response> | undefined,
  ): void {
    this.#server.register(
      method.path,
      (call: ServerUnaryCall<Request, Partial<Response>>, done: sendUnaryData<Partial<Response>>) => {
        const fault = this.#refusal(call) ?? this.#count(name);
        const value = fault === undefined ? answer(call.request) : undefined;
        if (value === undefined)
          done({ code: fault ?? CODES.notFound, details: fault === undefined ? "not found" : "fault" });
        else done(null, value);
      },
      (value: Partial<Response>) => method.response.encode(value),
      (bytes) => method.request.decode(bytes),
      "unary",
    );
  }

  #stream<Request, Response>(
    name: CallName,
    method: Method<Request, Response>,
    answer: (request: Request, call: { write(message: Partial<Response>): unknown }, number: number) => Promise<void>,
  ): void {
    this.#server.register(
      method.path,
      (call: ServerWritableStream<Request, Partial<Response>>) => {
        const fault = this.#count(name);
        const work =
          fault === undefined
            ? answer(call.request, call, this.counts.get(name) ?? 1)
            : Promise.reject(status(fault, "fault"));
        work.then(
          () => call.end(),
          (error: unknown) => call.emit("error", failureOf(error)),
        );
      },
      (value: Partial<Response>) => method.response.encode(value),
      (bytes) => method.request.decode(bytes),
      "serverStream",
    );
  }
}

class StatusError extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

function status(code: number, message: string): StatusError {
  return new StatusError(code, message);
}

function failureOf(error: unknown): { readonly code: number; readonly details: string } {
  const code = error instanceof StatusError ? error.code : CODES.internal;
  return { code, details: error instanceof Error ? error.message : "" };
}

function ended(name: string, response: Buffer): Operation {
  return Operation.of({
    name,
    done: true,
    response: AnyMessage.of({ typeUrl: "type.googleapis.com/r", value: response }),
  });
}

function missingResponse(blobs: readonly BlobDigest[]): Buffer {
  const violations = blobs.map(({ hash, sizeBytes }) => ({
    type: "MISSING",
    subject: `blobs/${hash}/${sizeBytes}`,
    description: "",
  }));
  const detail = {
    typeUrl: "type.googleapis.com/google.rpc.PreconditionFailure",
    value: PreconditionFailure.encode({ violations }),
  };
  return ExecuteResponse.encode({
    status: RpcStatus.of({ code: CODES.failedPrecondition, message: "missing", details: [AnyMessage.of(detail)] }),
  });
}
