import { unreachable } from "../../lib/core/errors.ts";
import type { MadeOutput } from "../../lib/core/progress.ts";
import type { Store } from "../../lib/store/store.ts";
import type { Exported, Result } from "../export/exporter.ts";
import type { OutputSpec } from "../export/output-spec.ts";

/** Describes a finished output: its names, digests and size, and its place. */
export function madeOutput(
  output: OutputSpec,
  { names, configDigest, manifest }: Exported,
  { images }: Result,
  store: Pick<Store, "snapshots">,
): MadeOutput {
  const layers = images.flatMap((image) => image.layers);
  const sizeOf = ({ diffId, tarSizeBytes }: (typeof layers)[number]): number =>
    tarSizeBytes ?? store.snapshots.layerBlobs(diffId)[0]?.descriptor.size ?? 0;
  return {
    kind: output.kind === "local" || output.kind === "tar" ? "files" : "image",
    place: placeOf(output),
    names,
    ...(configDigest === undefined ? {} : { imageId: configDigest }),
    ...(manifest === undefined ? {} : { digest: manifest.digest }),
    sizeBytes: layers.reduce((sum, layer) => sum + sizeOf(layer), 0),
    layers: layers.length,
    platforms: images.length,
  };
}

function placeOf(output: OutputSpec): string {
  switch (output.kind) {
    case "image":
      if (!output.push) return "in the local store";
      return output.store ? "pushed, and in the local store" : "pushed";
    case "oci":
    case "docker": {
      const form = output.form === "tar" ? "archive" : "layout";
      const kind = output.kind === "oci" ? "an OCI" : "a docker";
      return `as ${kind} ${form} ${placeNamed("in", output.destination)}`;
    }
    case "local":
      return `as files in ${output.destination}`;
    case "tar":
      return `as a tar of files ${placeNamed("in", output.destination)}`;
    case "engine":
      return `in ${output.engine}`;
    case "cacheonly":
      return "in the cache";
    default:
      return unreachable(output);
  }
}

function placeNamed(word: string, destination: string): string {
  return destination === "-" ? "on standard output" : `${word} ${destination}`;
}
