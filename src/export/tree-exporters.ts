import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { BuildError } from "../../lib/core/errors.ts";
import type { ProgressEvent } from "../../lib/core/progress.ts";
import { formatPlatform } from "../../lib/core/platform.ts";
import { printableName } from "../../lib/native/names.ts";
import type { Native } from "../../lib/native/native.ts";
import { copyTree, filesIn, removeOthers } from "./copy-tree.ts";
import type { Exporter, OpenDestination, Result, ResultImage } from "./exporter.ts";
import { reportSubtask } from "./report.ts";
import { makeDestination, writingInto } from "./make-destination.ts";

/** Tools for a result's whole tree in one directory. */
export interface TreeTools {
  readonly native: Native;
  /** Merges images' layers into one directory without whiteouts, each below its folder; disposing removes it. */
  flatten(places: readonly Placed[], signal: AbortSignal): Promise<{ readonly directory: string } & AsyncDisposable>;
  /** Packs the directory as a tar; `mtimeSeconds` is every member's time. */
  packDirectory(
    directory: string,
    options: { readonly mtimeSeconds: number | undefined },
    signal: AbortSignal,
  ): Readable;
}

/** An image's folder in a tree of files: `linux_amd64`, or empty for the tree's own root. */
export interface Placed {
  readonly image: ResultImage;
  readonly folder: string;
}

interface TreeOptions {
  readonly platformSplit: boolean | undefined;
  readonly sourceDateEpoch: number | undefined;
}

/**
 * Makes an exporter that writes the result's files into a directory as the current user. Ownership is not applied.
 * `delete` removes other files, after everything is written: a failed build removes nothing.
 */
export function localExporter(
  destination: string,
  options: TreeOptions & { readonly mode: "copy" | "delete" },
  tools: TreeTools,
): Exporter {
  return {
    description: "exporting to client directory",
    async export(result, progress, signal) {
      const kept = new Set<string>();
      const places = placesOf(result, options);
      await refuseCollisions(places, tools, signal);
      for (const { image, folder } of places) {
        await using tree = await tools.flatten([{ image, folder: "" }], signal);
        const target = join(destination, folder);
        makeDestination(target);
        // BuildKit sets every time to the epoch here and in a tar, even older ones.
        const mtimeSeconds = options.sourceDateEpoch ?? image.sourceDateEpoch;
        const how = { native: tools.native, mtimeSeconds };
        const { written, leftOut } = await writingInto(target, () => copyTree(tree.directory, target, how, signal));
        if (folder !== "") kept.add(folder);
        if (leftOut.length > 0) progress.sink(leftOutNotice(leftOut, target));
        for (const path of written) kept.add(folder === "" ? path : `${folder}/${path}`);
      }
      if (options.mode === "delete")
        await writingInto(destination, () => removeOthers(destination, kept, tools.native));
      reportSubtask(progress, "copying files");
      return { names: [] };
    },
  };
}

/** Makes the notice of files that were left out. */
function leftOutNotice(paths: readonly string[], target: string): ProgressEvent {
  const some = paths.slice(0, 3).map((path) => JSON.stringify(printableName(path)));
  const more = paths.length > some.length ? ` and ${paths.length - some.length} more` : "";
  return {
    kind: "notice",
    level: "warning",
    message: `Left out of ${target}: ${some.join(", ")}${more}, since only root may make devices`,
    hint: "type=tar holds them",
  };
}

/** Makes an exporter of the result's files as one tar, ownership included. */
export function tarExporter(open: OpenDestination, options: TreeOptions, tools: TreeTools): Exporter {
  return {
    description: "exporting to client tarball",
    async export(result, progress, signal) {
      const places = placesOf(result, options);
      await refuseCollisions(places, tools, signal);
      await using tree = await tools.flatten(places, signal);
      const mtimeSeconds = options.sourceDateEpoch ?? result.images[0]?.sourceDateEpoch;
      reportSubtask(progress, "sending tarball");
      await pipeline(tools.packDirectory(tree.directory, { mtimeSeconds }, signal), await open(signal), { signal });
      return { names: [] };
    },
  };
}

function placesOf(result: Result, options: TreeOptions): Placed[] {
  const isSplit = options.platformSplit ?? (result.multiPlatform || result.images.length > 1);
  return result.images.map((image) => ({
    image,
    folder: isSplit ? formatPlatform(image.platform).replaceAll("/", "_") : "",
  }));
}

/** Refuses images in one folder that both have a file of one name; they may share directories. */
async function refuseCollisions(places: readonly Placed[], tools: TreeTools, signal: AbortSignal): Promise<void> {
  const merged = places.filter(({ folder }) => folder === "");
  if (merged.length < 2) return;
  const platforms = new Map<string, string>();
  for (const { image } of merged) {
    await using tree = await tools.flatten([{ image, folder: "" }], signal);
    const platform = formatPlatform(image.platform);
    for (const path of await filesIn(tree.directory, tools.native)) {
      const before = platforms.get(path);
      if (before !== undefined) {
        throw new BuildError(
          "export/failed",
          `cannot overwrite ${path} from ${before} with ${platform} when split option is disabled`,
          { hint: "leave out platform-split=false: each platform then gets a folder of its own" },
        );
      }
      platforms.set(path, platform);
    }
  }
}
