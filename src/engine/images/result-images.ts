import { mapLimit } from "../../../lib/core/limits.ts";
import type { HistoryEntry, ImageConfig } from "../../../lib/core/oci.ts";
import { completeHistory, clampTimes, formatTime } from "../../export/history.ts";
import type { ResultImage, ResultLayer } from "../../export/exporter.ts";
import type { Store } from "../../../lib/store/store.ts";
import { withSpan } from "../../../solver/cache/keyed-graph.ts";
import type { MadeLayer } from "../../../solver/deps.ts";
import type { Conversion, HistoryDraft } from "../../../frontend/convert/conversion.ts";
import { layerNames } from "./layer-names.ts";
import type { LayerPacker } from "./layer-packer.ts";

/**
 * Makes the image of one platform, from the frontend's draft and the solver's layers. Base layers take their diffIDs
 * from the base image's configuration, so they need not be present; the others are packed, if necessary.
 */
export async function resultImage(
  conversion: Conversion,
  made: readonly MadeLayer[],
  deps: { readonly store: Pick<Store, "images" | "snapshots">; readonly packer: LayerPacker },
  signal: AbortSignal,
): Promise<ResultImage> {
  const snapshots = made.map(({ snapshot }) => snapshot);
  const baseDiffIds = conversion.base?.config.rootfs.diff_ids ?? [];
  const baseOp = conversion.base?.vertex?.op;
  const baseLayers = baseOp?.kind === "image" ? deps.store.images.get(baseOp.manifest)?.manifest.layers : undefined;
  const layers = await mapLimit(made.entries(), 8, signal, async (entry, inner): Promise<ResultLayer> => {
    const [index, { snapshot, vertex }] = entry;
    const diffId = baseDiffIds[index];
    if (diffId !== undefined) {
      const { tarSizeBytes } = deps.store.snapshots.get(snapshot) ?? {};
      return { diffId, snapshot, origin: "base", tarSizeBytes, blob: baseLayers?.[index]?.digest };
    }
    const meta = vertex === undefined ? undefined : conversion.meta.get(vertex);
    const packed = await deps.packer.layer(snapshot, inner).catch((error: unknown) => {
      throw meta === undefined ? error : withSpan(error, meta);
    });
    return { ...packed, snapshot, origin: "built" };
  });
  // Rarely needed: every layer except that of a starting directory has an instruction.
  let names: readonly string[] | undefined;
  const facts = snapshots.map((id, index) => {
    // A step's result keeps its creation time, so an unchanged build gives an unchanged image.
    const createdAtMs = deps.store.snapshots.get(id)?.createdAtMs ?? 0;
    return {
      created: formatTime(createdAtMs),
      get description() {
        names ??= layerNames(conversion.target, conversion.meta, baseDiffIds.length);
        return names[index] ?? "layer";
      },
    };
  });
  const epoch = conversion.sourceDateEpoch;
  const dated = epoch === undefined ? {} : { created: formatTime(epoch * 1000) };
  const drafts = conversion.history.map((draft) =>
    draft.kind === "base" ? draftEntry(draft) : { ...draftEntry(draft), ...dated },
  );
  const history = completeHistory(drafts, facts);
  const created = history.findLast((entry) => entry.created !== undefined)?.created;
  const config: ImageConfig = {
    ...conversion.image,
    ...(created === undefined ? {} : { created }),
    rootfs: { type: "layers", diff_ids: layers.map((layer) => layer.diffId) },
    history,
  };
  const baseHistoryCount = conversion.history.filter((draft) => draft.kind === "base").length;
  return {
    platform: conversion.platform,
    config: epoch === undefined ? config : clampTimes(config, baseHistoryCount, epoch),
    layers,
    baseHistoryCount,
    sourceDateEpoch: epoch,
  };
}

function draftEntry(draft: HistoryDraft): HistoryEntry {
  if (draft.kind === "base") return draft.entry;
  return {
    created_by: draft.createdBy,
    comment: draft.comment,
    ...(draft.emptyLayer ? { empty_layer: true } : {}),
  };
}
