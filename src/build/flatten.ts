import { Readable } from "node:stream";
import type { TreeTools } from "../export/tree-exporters.ts";
import { packLayer } from "../tar/pack.ts";
import { runFileOp } from "../../solver/ops/file/run-file-op.ts";
import { stackView } from "../../solver/ops/file/stack-view.ts";
import type { FileOp } from "../../solver/graph/op.ts";
import type { Engine } from "./engine.ts";

/** `COPY --from=<image> / /` onto nothing: the merged tree, mostly as hard links into the snapshots. */
export const COPY_ALL: FileOp = {
  kind: "file",
  base: "scratch",
  actions: [
    {
      kind: "copy",
      input: 0,
      source: "/",
      wildcard: false,
      destination: "/",
      owner: undefined,
      mode: undefined,
      excludes: [],
      parents: false,
      unpack: "never",
      keepOwner: true,
      link: false,
      timestamp: undefined,
    },
  ],
};

/** Whole trees of images for the exporters of files. */
export function treeTools(engine: Engine): TreeTools {
  const { native, snapshotter, images } = engine;
  return {
    async flatten(image, signal) {
      const stack = image.layers.map((layer) => layer.snapshot);
      await images.materialize(stack, signal);
      const active = await snapshotter.prepare([], signal);
      try {
        await using view = await snapshotter.view(stack, signal);
        using source = stackView({
          native,
          directories: view.directories,
          marks: snapshotter.marks,
          name: "the image",
        });
        const { directories } = active;
        const [directory] = directories;
        if (directory === undefined) throw new Error("a snapshot without a directory");
        await runFileOp(
          COPY_ALL,
          { directories, marks: snapshotter.marks, source: () => source, selected: () => undefined },
          { native },
          signal,
        );
        return { directory, [Symbol.asyncDispose]: async () => active[Symbol.asyncDispose]() };
      } catch (error) {
        await active[Symbol.asyncDispose]();
        throw error;
      }
    },
    packDirectory(directory, { latestMtime }, signal) {
      const clamp = latestMtime === undefined ? {} : { clampMtimeSeconds: latestMtime };
      return Readable.from(packLayer(native, { directory, marks: snapshotter.marks, ...clamp }, signal), {
        objectMode: false,
      });
    },
  };
}
