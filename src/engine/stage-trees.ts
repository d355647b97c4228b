import type { Digest } from "../../lib/core/digest.ts";
import { formatPlatform } from "../../lib/core/platform.ts";
import type { SnapshotId } from "../../lib/store/model.ts";
import type { Conversion } from "../../frontend/convert/conversion.ts";
import { inputsFirst } from "../../solver/graph/order.ts";
import type { ImageOp } from "../../solver/graph/op.ts";
import type { Vertex } from "../../solver/graph/vertex.ts";

/** The tree of a stage as far as it got, for one platform. Without layers it is empty. */
export interface StageTree {
  /** `linux_amd64`. */
  readonly platform: string;
  readonly tree:
    | { readonly kind: "layers"; readonly layers: readonly SnapshotId[] }
    | { readonly kind: "image"; readonly op: ImageOp };
}

/** The command that failed, and the tree that it left; the last layer is its own. */
export interface FailedTree {
  readonly vertex: Digest;
  readonly layers: readonly SnapshotId[];
}

type Stages = readonly Pick<Conversion, "target" | "meta" | "platform" | "stageNames">[];

/** Notes what layers the vertices of a build have, so that files of its stages can be had when it has ended in any way. */
export class StageTrees {
  readonly #layers = new Map<Digest, readonly SnapshotId[]>();
  #keys: ReadonlyMap<Digest, { readonly definitionKey: Digest }> = new Map();
  #stages: Stages = [];
  #failure: FailedTree | undefined;
  /** True once the files were written. */
  isWritten = false;

  /** Takes the stages of an attempt; it may be a later one. */
  begin(stages: Stages): void {
    this.#stages = stages;
  }

  planned(keys: ReadonlyMap<Digest, { readonly definitionKey: Digest }>): void {
    this.#keys = keys;
  }

  made(vertex: Digest, layers: readonly SnapshotId[]): void {
    this.#layers.set(vertex, layers);
  }

  failed(vertex: Digest, layers: readonly SnapshotId[]): void {
    this.#failure ??= { vertex, layers };
  }

  get failure(): FailedTree | undefined {
    return this.#failure;
  }

  /** Names of all stages of the Dockerfile. */
  get names(): readonly string[] {
    return this.#stages[0]?.stageNames ?? [];
  }

  get platforms(): number {
    return this.#stages.length;
  }

  /**
   * Finds how far a stage got: the tree after the last of its instructions that has one, that of the failed command
   * included.
   * @param find returns the layers recorded for a key
   */
  treesOf(stage: string, find: (definitionKey: Digest) => readonly SnapshotId[] | undefined): readonly StageTree[] {
    return this.#stages.flatMap(({ target, meta, platform, stageNames }): StageTree[] => {
      const wanted = (/^\d+$/.test(stage) ? stageNames[Number(stage)] : undefined) ?? stage.toLowerCase();
      const isWanted = (name: string | undefined): boolean => name === wanted || `stage-${name}` === wanted;
      const own = inputsFirst(target === undefined ? [] : [target]).filter(({ digest }) =>
        isWanted(meta.get(digest)?.stage),
      );
      const tree = own.toReversed().flatMap((vertex) => this.#treeOf(vertex, find) ?? [])[0];
      return tree === undefined ? [] : [{ platform: formatPlatform(platform).replaceAll("/", "_"), tree }];
    });
  }

  #treeOf(
    { digest, op }: Vertex,
    find: (definitionKey: Digest) => readonly SnapshotId[] | undefined,
  ): StageTree["tree"] | undefined {
    if (op.kind === "image") return { kind: "image", op };
    const key = this.#keys.get(digest)?.definitionKey;
    const failed = this.#failure?.vertex === digest ? this.#failure.layers : undefined;
    const layers = failed ?? this.#layers.get(digest) ?? (key === undefined ? undefined : find(key));
    return layers === undefined ? undefined : { kind: "layers", layers };
  }
}
