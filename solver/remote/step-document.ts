import { BuildError } from "../../lib/core/errors.ts";
import type { Digest } from "../../lib/core/digest.ts";
import {
  DIGEST,
  FLAG,
  list,
  nullable,
  NUMBER,
  object,
  oneOf,
  optional,
  readJsonAs,
  such,
  TEXT,
} from "../../lib/core/shape.ts";
import type { ExecOp } from "../graph/op.ts";
import { execOpShape } from "../graph/op-shape.ts";
import type { HostAddress, ResourceLimits } from "../ports.ts";

/*
 * A step as one JSON document, and its result as another: all that a machine needs to run the step, and all that it says
 * about it afterwards. The document holds no path, no time and no name of the machine that wrote it, so that two machines
 * with the same step write the same bytes; and no secret, because steps with secrets are not written.
 *
 *     step.json                        the step
 *     layers/blobs/sha256/...          its inputs' layers, as they are known: a registry's blob, or a tar
 *     kiln/                            the program
 *     out/layer.tar, out/result.json   what the worker leaves
 */

/** Names of the files of an action, relative to its folder. */
export const STEP_FILE = "step.json";
export const LAYERS_FOLDER = "layers";
export const OUTPUT_FOLDER = "out";
export const LAYER_FILE = `${OUTPUT_FOLDER}/layer.tar`;
export const RESULT_FILE = `${OUTPUT_FOLDER}/result.json`;

/** A layer of an input. Its blob is a file of the action. */
export type DocumentLayer = {
  readonly diffId: Digest;
  readonly blob: Digest;
  /** True for a layer that a step made; false for one of an image, whose files' times all count. */
  readonly isBuilt: boolean;
};

export type StepDocument = {
  /** Raised when a worker of another version would do something else. */
  readonly version: 1;
  readonly op: ExecOp;
  /** Layers by index of the step's inputs, lowest first; `null` for an input that nothing of the step uses. */
  readonly inputs: readonly ({ readonly layers: readonly DocumentLayer[]; readonly key: string } | null)[];
  /** Index of the input that the command changes; absent for an empty file system. */
  readonly parent?: number | undefined;
  readonly network: "default" | "none" | "sandbox";
  readonly limits: ResourceLimits;
  readonly addresses: readonly HostAddress[];
  /** `NAME=value`. */
  readonly proxies: readonly string[];
  /** The isolation that the step's key names. A worker that has another one refuses the step. */
  readonly isolation: "full" | "single id" | "chroot";
};

/** The result of a step. A command's own failure is one too. */
export type ResultDocument = {
  readonly version: 1;
  readonly exitCode: number;
  readonly oomKilled: boolean;
  readonly wallMs: number;
  readonly cpuMs: number;
  readonly readBytes?: number | undefined;
  readonly writtenBytes?: number | undefined;
  readonly peakMemoryBytes?: number | undefined;
  readonly hint?: string | undefined;
  /** Absent when the command failed. */
  readonly layer?:
    | {
        readonly diffId: Digest;
        readonly sizeBytes: number;
        readonly contentDigest: Digest;
        /** The time of the run, as `formatRuns` writes it. */
        readonly runs: string;
      }
    | undefined;
  /** Notices about this worker, told to the user once. */
  readonly notices: readonly string[];
};

const limits = object<ResourceLimits>({
  memoryBytes: optional(NUMBER),
  memorySwapBytes: optional(NUMBER),
  cpuShares: optional(NUMBER),
  cpuPeriodUs: optional(NUMBER),
  cpuQuotaUs: optional(NUMBER),
  cpusetCpus: optional(TEXT),
  cpusetMems: optional(TEXT),
});

const layer = object<DocumentLayer>({ diffId: DIGEST, blob: DIGEST, isBuilt: FLAG });

const stepDocument = object<StepDocument>({
  version: oneOf(1),
  op: execOpShape,
  inputs: list(nullable(object<NonNullable<StepDocument["inputs"][number]>>({ layers: list(layer), key: TEXT }))),
  parent: optional(NUMBER),
  network: oneOf("default", "none", "sandbox"),
  limits,
  addresses: list(object<HostAddress>({ name: TEXT, address: TEXT })),
  proxies: list(TEXT),
  isolation: oneOf("full", "single id", "chroot"),
});

function isRuns(value: unknown): value is string {
  return typeof value === "string" && /^(?:\d{1,19} \d{1,19}(?: (?!$)|$))*$/.test(value);
}

const resultDocument = object<ResultDocument>({
  version: oneOf(1),
  exitCode: NUMBER,
  oomKilled: FLAG,
  wallMs: NUMBER,
  cpuMs: NUMBER,
  readBytes: optional(NUMBER),
  writtenBytes: optional(NUMBER),
  peakMemoryBytes: optional(NUMBER),
  hint: optional(TEXT),
  layer: optional(
    object<NonNullable<ResultDocument["layer"]>>({
      diffId: DIGEST,
      sizeBytes: NUMBER,
      contentDigest: DIGEST,
      runs: such("times of runs", isRuns),
    }),
  ),
  notices: list(TEXT),
});

/**
 * Reads the document of a step.
 * @throws {BuildError} `remote/failed`
 */
export function readStep(json: string): StepDocument {
  return readJsonAs(stepDocument, json, (why) => {
    const hint = "the worker's kiln and the client's are of different versions";
    return new BuildError("remote/failed", `Cannot read ${STEP_FILE}: ${why}`, { hint });
  });
}

/**
 * Reads the document of a result, which comes from a machine that need not be honest.
 * @throws {BuildError} `remote/failed`
 */
export function readResult(json: string): ResultDocument {
  return readJsonAs(
    resultDocument,
    json,
    (why) => new BuildError("remote/failed", `Cannot use a worker's result: ${why}`),
  );
}
