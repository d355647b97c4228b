import { bytes, flag, int, ints, message, type Message, part, parts, text, texts } from "./wire.ts";

/*
 * The messages of the Remote Execution API v2 that kiln uses, of ByteStream, and of the long-running operations around them.
 * Numbers are the standard's (build.bazel.remote.execution.v2, google.bytestream, google.longrunning, google.rpc), and so are
 * names, in our spelling. What kiln neither writes nor reads is left out: readers skip it.
 */

export type BlobDigest = Message<typeof BlobDigest>;
/** SHA-256 in hex, without the algorithm's name, and the size. */
export const BlobDigest = message<{ hash: string; sizeBytes: number }>({ hash: text(1), sizeBytes: int(2) });

/** SHA-256 among the digest functions. */
export const SHA256 = 1;
/** Zstandard among the compressors; 0 is none. */
export const ZSTD = 1;

type Pair = Message<typeof Pair>;
const Pair = message<{ name: string; value: string }>({ name: text(1), value: text(2) });

const Properties = message<{ properties: readonly Pair[] }>({ properties: parts(1, Pair) });

export const Duration = message<{ seconds: number; nanos: number }>({ seconds: int(1), nanos: int(2) });

export type Action = Message<typeof Action>;
export const Action = message<{
  commandDigest: BlobDigest | undefined;
  inputRootDigest: BlobDigest | undefined;
  timeout: Message<typeof Duration> | undefined;
  doNotCache: boolean;
  salt: Uint8Array;
  platform: Message<typeof Properties> | undefined;
}>({
  commandDigest: part(1, BlobDigest),
  inputRootDigest: part(2, BlobDigest),
  timeout: part(6, Duration),
  doNotCache: flag(7),
  salt: bytes(9),
  platform: part(10, Properties),
});

export type Command = Message<typeof Command>;
export const Command = message<{
  arguments: readonly string[];
  environment: readonly Pair[];
  /** Output files, as servers before v2.1 expect them; `outputPaths` says the same. */
  outputFiles: readonly string[];
  platform: Message<typeof Properties> | undefined;
  workingDirectory: string;
  outputPaths: readonly string[];
}>({
  arguments: texts(1),
  environment: parts(2, Pair),
  outputFiles: texts(3),
  platform: part(5, Properties),
  workingDirectory: text(6),
  outputPaths: texts(7),
});

export type FileNode = Message<typeof FileNode>;
export const FileNode = message<{ name: string; digest: BlobDigest | undefined; isExecutable: boolean }>({
  name: text(1),
  digest: part(2, BlobDigest),
  isExecutable: flag(4),
});

export type DirectoryNode = Message<typeof DirectoryNode>;
const DirectoryNode = message<{ name: string; digest: BlobDigest | undefined }>({
  name: text(1),
  digest: part(2, BlobDigest),
});

/** A folder; files and folders are sorted by name. */
export const Directory = message<{ files: readonly FileNode[]; directories: readonly DirectoryNode[] }>({
  files: parts(1, FileNode),
  directories: parts(2, DirectoryNode),
});

export type OutputFile = Message<typeof OutputFile>;
export const OutputFile = message<{
  path: string;
  digest: BlobDigest | undefined;
  isExecutable: boolean;
  contents: Uint8Array;
}>({ path: text(1), digest: part(2, BlobDigest), isExecutable: flag(4), contents: bytes(5) });

/** The start and end of the command among a worker's times. */
const Timestamp = message<{ seconds: number; nanos: number }>({ seconds: int(1), nanos: int(2) });

const ExecutedMetadata = message<{
  worker: string;
  queuedAt: Message<typeof Timestamp> | undefined;
  startedAt: Message<typeof Timestamp> | undefined;
}>({ worker: text(1), queuedAt: part(2, Timestamp), startedAt: part(3, Timestamp) });

export type ActionResult = Message<typeof ActionResult>;
export const ActionResult = message<{
  outputFiles: readonly OutputFile[];
  exitCode: number;
  stdoutRaw: Uint8Array;
  stdoutDigest: BlobDigest | undefined;
  stderrRaw: Uint8Array;
  stderrDigest: BlobDigest | undefined;
  metadata: Message<typeof ExecutedMetadata> | undefined;
}>({
  outputFiles: parts(2, OutputFile),
  exitCode: int(4),
  stdoutRaw: bytes(5),
  stdoutDigest: part(6, BlobDigest),
  stderrRaw: bytes(7),
  stderrDigest: part(8, BlobDigest),
  metadata: part(9, ExecutedMetadata),
});

export type AnyMessage = Message<typeof AnyMessage>;
/** A message with the name of its type. */
export const AnyMessage = message<{ typeUrl: string; value: Uint8Array }>({ typeUrl: text(1), value: bytes(2) });

export type RpcStatus = Message<typeof RpcStatus>;
export const RpcStatus = message<{ code: number; message: string; details: readonly AnyMessage[] }>({
  code: int(1),
  message: text(2),
  details: parts(3, AnyMessage),
});

const Violation = message<{ type: string; subject: string; description: string }>({
  type: text(1),
  subject: text(2),
  description: text(3),
});

/** The detail of FAILED_PRECONDITION. `MISSING`, `blobs/HASH/SIZE`: a blob to be sent. */
export const PreconditionFailure = message<{ violations: readonly Message<typeof Violation>[] }>({
  violations: parts(1, Violation),
});

const ExecuteRequest = message<{
  instanceName: string;
  skipCacheLookup: boolean;
  actionDigest: BlobDigest | undefined;
  executionPolicy: { priority: number } | undefined;
  digestFunction: number;
}>({
  instanceName: text(1),
  skipCacheLookup: flag(3),
  actionDigest: part(6, BlobDigest),
  executionPolicy: part(7, message<{ priority: number }>({ priority: int(1) })),
  digestFunction: int(9),
});

const WaitExecutionRequest = message<{ name: string }>({ name: text(1) });

export type ExecuteResponse = Message<typeof ExecuteResponse>;
export const ExecuteResponse = message<{
  result: ActionResult | undefined;
  cachedResult: boolean;
  status: RpcStatus | undefined;
  message: string;
}>({ result: part(1, ActionResult), cachedResult: flag(2), status: part(3, RpcStatus), message: text(5) });

/** Stages of an execution: 2 is queued, 3 executing, 4 completed. */
export const ExecuteOperationMetadata = message<{
  stage: number;
  stdoutStreamName: string;
  stderrStreamName: string;
}>({ stage: int(1), stdoutStreamName: text(3), stderrStreamName: text(4) });

export type Operation = Message<typeof Operation>;
export const Operation = message<{
  name: string;
  metadata: AnyMessage | undefined;
  done: boolean;
  error: RpcStatus | undefined;
  response: AnyMessage | undefined;
}>({
  name: text(1),
  metadata: part(2, AnyMessage),
  done: flag(3),
  error: part(4, RpcStatus),
  response: part(5, AnyMessage),
});

const CancelOperationRequest = message<{ name: string }>({ name: text(1) });
const Empty = message<object>({});

const GetActionResultRequest = message<{
  instanceName: string;
  actionDigest: BlobDigest | undefined;
  inlineStdout: boolean;
  inlineStderr: boolean;
  inlineOutputFiles: readonly string[];
  digestFunction: number;
}>({
  instanceName: text(1),
  actionDigest: part(2, BlobDigest),
  inlineStdout: flag(3),
  inlineStderr: flag(4),
  inlineOutputFiles: texts(5),
  digestFunction: int(6),
});

const UpdateActionResultRequest = message<{
  instanceName: string;
  actionDigest: BlobDigest | undefined;
  actionResult: ActionResult | undefined;
  digestFunction: number;
}>({
  instanceName: text(1),
  actionDigest: part(2, BlobDigest),
  actionResult: part(3, ActionResult),
  digestFunction: int(5),
});

const FindMissingBlobsRequest = message<{
  instanceName: string;
  blobDigests: readonly BlobDigest[];
  digestFunction: number;
}>({ instanceName: text(1), blobDigests: parts(2, BlobDigest), digestFunction: int(3) });

const FindMissingBlobsResponse = message<{ missingBlobDigests: readonly BlobDigest[] }>({
  missingBlobDigests: parts(2, BlobDigest),
});

const BatchUpdate = message<{ digest: BlobDigest | undefined; data: Uint8Array }>({
  digest: part(1, BlobDigest),
  data: bytes(2),
});

const BatchUpdateBlobsRequest = message<{
  instanceName: string;
  requests: readonly Message<typeof BatchUpdate>[];
  digestFunction: number;
}>({ instanceName: text(1), requests: parts(2, BatchUpdate), digestFunction: int(5) });

const BatchUpdated = message<{ digest: BlobDigest | undefined; status: RpcStatus | undefined }>({
  digest: part(1, BlobDigest),
  status: part(2, RpcStatus),
});

const BatchUpdateBlobsResponse = message<{ responses: readonly Message<typeof BatchUpdated>[] }>({
  responses: parts(1, BatchUpdated),
});

const BatchReadBlobsRequest = message<{
  instanceName: string;
  digests: readonly BlobDigest[];
  digestFunction: number;
}>({ instanceName: text(1), digests: parts(2, BlobDigest), digestFunction: int(4) });

const BatchReadItem = message<{ digest: BlobDigest | undefined; data: Uint8Array; status: RpcStatus | undefined }>({
  digest: part(1, BlobDigest),
  data: bytes(2),
  status: part(3, RpcStatus),
});

const BatchReadBlobsResponse = message<{ responses: readonly Message<typeof BatchReadItem>[] }>({
  responses: parts(1, BatchReadItem),
});

const GetCapabilitiesRequest = message<{ instanceName: string }>({ instanceName: text(1) });

const CacheCapabilities = message<{
  digestFunctions: readonly number[];
  updates: { enabled: boolean } | undefined;
  maxBatchTotalSizeBytes: number;
  supportedCompressors: readonly number[];
}>({
  digestFunctions: ints(1),
  updates: part(2, message<{ enabled: boolean }>({ enabled: flag(1) })),
  maxBatchTotalSizeBytes: int(4),
  supportedCompressors: ints(6),
});

const ExecutionCapabilities = message<{
  digestFunction: number;
  enabled: boolean;
  digestFunctions: readonly number[];
}>({ digestFunction: int(1), enabled: flag(2), digestFunctions: ints(5) });

const ServerCapabilities = message<{
  cache: Message<typeof CacheCapabilities> | undefined;
  execution: Message<typeof ExecutionCapabilities> | undefined;
}>({ cache: part(1, CacheCapabilities), execution: part(2, ExecutionCapabilities) });

const ReadRequest = message<{ resourceName: string; readOffset: number; readLimit: number }>({
  resourceName: text(1),
  readOffset: int(2),
  readLimit: int(3),
});
const ReadResponse = message<{ data: Uint8Array }>({ data: bytes(10) });

const WriteRequest = message<{
  resourceName: string;
  writeOffset: number;
  finishWrite: boolean;
  data: Uint8Array;
}>({ resourceName: text(1), writeOffset: int(2), finishWrite: flag(3), data: bytes(10) });
const WriteResponse = message<{ committedSize: number }>({ committedSize: int(1) });

const QueryWriteStatusRequest = message<{ resourceName: string }>({ resourceName: text(1) });
const QueryWriteStatusResponse = message<{ committedSize: number; complete: boolean }>({
  committedSize: int(1),
  complete: flag(2),
});

/** A call of the standard: its path, and the messages of both ways. */
export interface Method<Request, Response> {
  readonly path: string;
  readonly request: { encode(message: Partial<Request>): Buffer; decode(bytes: Uint8Array): Request };
  readonly response: { encode(message: Partial<Response>): Buffer; decode(bytes: Uint8Array): Response };
}

const REAPI = "/build.bazel.remote.execution.v2";

export const METHODS = {
  getCapabilities: method(`${REAPI}.Capabilities/GetCapabilities`, GetCapabilitiesRequest, ServerCapabilities),
  findMissingBlobs: method(
    `${REAPI}.ContentAddressableStorage/FindMissingBlobs`,
    FindMissingBlobsRequest,
    FindMissingBlobsResponse,
  ),
  batchUpdateBlobs: method(
    `${REAPI}.ContentAddressableStorage/BatchUpdateBlobs`,
    BatchUpdateBlobsRequest,
    BatchUpdateBlobsResponse,
  ),
  batchReadBlobs: method(
    `${REAPI}.ContentAddressableStorage/BatchReadBlobs`,
    BatchReadBlobsRequest,
    BatchReadBlobsResponse,
  ),
  getActionResult: method(`${REAPI}.ActionCache/GetActionResult`, GetActionResultRequest, ActionResult),
  updateActionResult: method(`${REAPI}.ActionCache/UpdateActionResult`, UpdateActionResultRequest, ActionResult),
  execute: method(`${REAPI}.Execution/Execute`, ExecuteRequest, Operation),
  waitExecution: method(`${REAPI}.Execution/WaitExecution`, WaitExecutionRequest, Operation),
  cancelOperation: method("/google.longrunning.Operations/CancelOperation", CancelOperationRequest, Empty),
  read: method("/google.bytestream.ByteStream/Read", ReadRequest, ReadResponse),
  write: method("/google.bytestream.ByteStream/Write", WriteRequest, WriteResponse),
  queryWriteStatus: method(
    "/google.bytestream.ByteStream/QueryWriteStatus",
    QueryWriteStatusRequest,
    QueryWriteStatusResponse,
  ),
} as const;

function method<Request, Response>(
  path: string,
  request: Method<Request, Response>["request"],
  response: Method<Request, Response>["response"],
): Method<Request, Response> {
  return { path, request, response };
}
