import { mkdir, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { BuildError } from "../core/errors.ts";
import { formatPlatform } from "../core/platform.ts";
import { copyTree } from "./copy-tree.ts";
import type { Exporter, OpenDestination, Result, ResultImage } from "./exporter.ts";
import { reportSubtask } from "./report.ts";

/** A result's whole tree in one directory, and what packs such a directory. */
export interface TreeTools {
  /** Merges an image's layers into one directory without whiteouts; disposing removes it. */
  flatten(image: ResultImage, signal: AbortSignal): Promise<{ readonly directory: string } & AsyncDisposable>;
  /** The directory as a tar; `latestMtime` in seconds clamps times. */
  packDirectory(
    directory: string,
    options: { readonly latestMtime: number | undefined },
    signal: AbortSignal,
  ): Readable;
}

interface TreeOptions {
  readonly platformSplit: boolean | undefined;
  readonly sourceDateEpoch: number | undefined;
}

/** The files of the result, written into a directory as the current user. Ownership is not applied. */
export function localExporter(
  destination: string,
  options: TreeOptions & { readonly mode: "copy" | "delete" },
  tools: TreeTools,
): Exporter {
  return {
    description: "exporting to client directory",
    async export(result, progress, signal) {
      if (options.mode === "delete") await rm(destination, { recursive: true, force: true });
      await mkdir(destination, { recursive: true });
      const written = new Map<string, string>();
      for (const image of result.images) {
        const target = isSplit(result, options) ? join(destination, folderOf(image)) : resolve(destination);
        await mkdir(target, { recursive: true });
        await using tree = await tools.flatten(image, signal);
        const epoch = options.sourceDateEpoch ?? image.sourceDateEpoch;
        const platform = formatPlatform(image.platform);
        await copyTree(
          tree.directory,
          target,
          {
            // BuildKit sets every time to the epoch here, older ones too.
            mtimeSeconds: epoch,
            onFile: (path) => {
              const before = written.get(path);
              if (before !== undefined && before !== platform) {
                throw new BuildError(
                  "export/failed",
                  `cannot overwrite ${path} from ${before} with ${platform} when split option is disabled`,
                );
              }
              if (!isSplit(result, options)) written.set(path, platform);
            },
          },
          signal,
        );
      }
      reportSubtask(progress, "copying files");
      return { names: [] };
    },
  };
}

/** The files of the result as one tar, ownership included. */
export function tarExporter(open: OpenDestination, options: TreeOptions, tools: TreeTools): Exporter {
  return {
    description: "exporting to client tarball",
    async export(result, progress, signal) {
      const [image, ...others] = result.images;
      if (image === undefined) throw new Error("a result without images");
      if (others.length > 0 || options.platformSplit === true) {
        throw new BuildError("export/unsupported", "Cannot write several platforms into one tar of files", {
          hint: "use type=local, or type=oci for one archive of images",
        });
      }
      await using tree = await tools.flatten(image, signal);
      const latestMtime = options.sourceDateEpoch ?? image.sourceDateEpoch;
      reportSubtask(progress, "sending tarball");
      await pipeline(tools.packDirectory(tree.directory, { latestMtime }, signal), await open(), { signal });
      return { names: [] };
    },
  };
}

function isSplit(result: Result, options: TreeOptions): boolean {
  return options.platformSplit ?? (result.multiPlatform || result.images.length > 1);
}

function folderOf(image: ResultImage): string {
  return formatPlatform(image.platform).replaceAll("/", "_");
}
