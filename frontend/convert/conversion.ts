import type { HistoryEntry, ImageConfig } from "../../lib/core/oci.ts";
import type { Platform } from "../../lib/core/platform.ts";
import type { Span } from "../../lib/core/span.ts";
import type { Digest } from "../../lib/core/digest.ts";
import type { Vertex, VertexMeta } from "../../solver/graph/vertex.ts";
import type { Warning } from "../lint/warning.ts";

/** The result of converting a Dockerfile for one platform: the graph to build and the image around it. */
export interface Conversion {
  /** The file system of the target; `undefined` when it is empty (`FROM scratch` and nothing else). */
  readonly target: Vertex | undefined;
  /** Metadata of every vertex that the target needs; with `stages: "all"`, of those that any stage needs. */
  readonly meta: ReadonlyMap<Digest, VertexMeta>;
  readonly image: ImageDraft;
  /** One entry per instruction that leaves one. Entries without `emptyLayer` own the layers of the result, in order. */
  readonly history: readonly HistoryDraft[];
  /** The image the target stands on. `undefined` for scratch and for a context that is not an image. */
  readonly base: BaseImage | undefined;
  readonly platform: Platform;
  /** Display name of the target stage; `undefined` in a file with a single stage. */
  readonly targetStage: string | undefined;
  /** Names of all stages, in order; unnamed ones as `stage-N`. */
  readonly stageNames: readonly string[];
  /** Names of local contexts that are read: `context`, names of `--build-context`. */
  readonly usedContexts: readonly string[];
  /** Seconds since the epoch, from SOURCE_DATE_EPOCH. */
  readonly sourceDateEpoch: number | undefined;
  /** Sorted by place. A repeated finding is listed once. */
  readonly warnings: readonly Warning[];
  /** Computed on first access: few builds need it. */
  readonly outline: Outline;
}

/** An image configuration without the facts that only a finished build knows. */
export type ImageDraft = Omit<ImageConfig, "created" | "rootfs" | "history">;

export type HistoryDraft =
  | { readonly kind: "base"; readonly entry: HistoryEntry }
  | {
      readonly kind: "new";
      readonly createdBy: string;
      readonly comment: string;
      /** False for an entry that owns a layer; `vertex` then made that layer. */
      readonly emptyLayer: boolean;
      readonly vertex: Vertex | undefined;
    };

export interface BaseImage {
  /** Makes the base's layers; `undefined` when it has none. */
  readonly vertex: Vertex | undefined;
  readonly ref: string;
  readonly config: ImageConfig;
}

/** The inputs that the target takes, for `--call=outline`. All lists are sorted by place. */
export interface Outline {
  readonly name: string | undefined;
  readonly description: string | undefined;
  readonly args: readonly {
    readonly name: string;
    readonly description: string | undefined;
    readonly value: string | undefined;
    readonly span: Span;
  }[];
  readonly secrets: readonly { readonly name: string; readonly required: boolean; readonly span: Span }[];
  readonly ssh: readonly { readonly name: string; readonly required: boolean; readonly span: Span }[];
  readonly cacheMounts: readonly { readonly id: string; readonly span: Span }[];
}

/** The comment of every history entry this frontend writes. */
export const HISTORY_COMMENT = "buildkit.dockerfile.v0";
