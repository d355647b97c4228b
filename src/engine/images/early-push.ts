import { EarlyLayers } from "../../export/early-layers.ts";
import { formOf } from "../../export/layers.ts";
import { namesOf } from "../../export/output-spec.ts";
import type { SnapshotId } from "../../../lib/store/model.ts";
import type { Digest } from "../../../lib/core/digest.ts";
import type { Conversion } from "../../../frontend/convert/conversion.ts";
import { makersOf } from "../../../solver/graph/makers.ts";
import type { PartsOf } from "../build-parts.ts";
import type { LayerPacker } from "./layer-packer.ts";

/** The layers of a build that may leave before the build has ended. */
export interface EarlyPush extends AsyncDisposable {
  /** Names the results whose layers are wanted. Those of their base images are left to the exporter. */
  expect(conversions: readonly Pick<Conversion, "target" | "base">[]): void;
  /** Tells whether the layers of a vertex will be given to `add`. */
  wants(vertex: Digest): boolean;
  /** Takes the layers of a vertex, as soon as they are known. */
  add(vertex: Digest, layers: readonly SnapshotId[]): void;
  /** Gives up everything: the build has failed. */
  stop(reason: unknown): void;
  /** Waits for everything that was begun. */
  settled(): Promise<void>;
}

/**
 * Prepares the early push of a build that is pushed; `undefined` for others, and where the layers become others at
 * the end. Of several outputs and names the first repository is sent to: the others mount from it, or are sent to
 * at the end.
 */
export function earlyPush(
  { engine, options, outputs, names }: PartsOf<"options" | "outputs" | "names", "layers" | "registry" | "store">,
  packer: LayerPacker,
  signal: AbortSignal,
): EarlyPush | undefined {
  const output = outputs.find((one) => one.kind === "image" && one.push);
  if (output?.kind !== "image" || options.squash === true) return undefined;
  if (output.image.rewriteTimestamp || output.image.layerBytes !== undefined) return undefined;
  const [name] = namesOf(output.image, { names });
  if (name === undefined) return undefined;
  const parts = { ...engine.layers, client: () => engine.registry(), packer };
  const layers = new EarlyLayers(name, formOf(output.image), parts, signal);
  let wanted: ReadonlySet<Digest> = new Set();
  let base: ReadonlySet<Digest> = new Set();
  const isOwn = (id: SnapshotId): boolean => {
    const diffId = engine.store.snapshots.get(id)?.diffId;
    return diffId === undefined || !base.has(diffId);
  };
  return {
    expect: (conversions) => {
      wanted = makersOf(conversions.flatMap(({ target }) => target ?? []));
      base = new Set(conversions.flatMap((one) => one.base?.config.rootfs.diff_ids ?? []));
    },
    wants: (vertex) => wanted.has(vertex),
    add: (vertex, stack) => {
      if (wanted.has(vertex)) for (const id of stack) if (isOwn(id)) layers.add(id);
    },
    stop: (reason) => layers.stop(reason),
    settled: () => layers.settled(),
    [Symbol.asyncDispose]: () => layers[Symbol.asyncDispose](),
  };
}
