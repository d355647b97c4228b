import { Readable } from "node:stream";
import type { TreeTools } from "../export/tree-exporters.ts";
import { packLayer } from "../../lib/tar/pack.ts";
import { runFileOp } from "../../solver/ops/file/run-file-op.ts";
import { stackView } from "../../solver/ops/file/stack-view.ts";
import type { SourceView } from "../../lib/tree/source-view.ts";
import type { FileOp } from "../../solver/graph/op.ts";
import { plainCopy } from "../../solver/graph/plain-copy.ts";
import type { Engine } from "./engine.ts";

/** Makes `COPY --from=<image> / <folder>` for one image per folder, on an empty tree. */
export function copyAll(folders: readonly string[]): FileOp {
  return {
    kind: "file",
    base: "scratch",
    actions: folders.map((folder, input) => plainCopy({ input, source: "/", destination: `/${folder}` })),
  };
}

/** The parts of an engine for reading whole trees. */
export type TreeParts = Pick<Engine, "native" | "snapshotter" | "images">;

/** Makes the exporters' tools for whole trees of images. */
export function treeTools(engine: TreeParts): TreeTools {
  const { native, snapshotter, images } = engine;
  return {
    native,
    async flatten(places, signal) {
      const active = await snapshotter.prepare([], signal);
      try {
        await using views = new AsyncDisposableStack();
        const sources: SourceView[] = [];
        for (const { image } of places) {
          const stack = image.layers.map((layer) => layer.snapshot);
          await images.materialize(stack, undefined, signal);
          const { directories } = views.use(await snapshotter.view(stack, signal));
          sources.push(views.use(stackView({ native, directories, marks: snapshotter.marks, name: "the image" })));
        }
        const { directories } = active;
        const [directory] = directories;
        if (directory === undefined) throw new Error("a snapshot without a directory");
        const source = (index: number): SourceView => {
          const view = sources[index];
          if (view === undefined) throw new Error(`no image ${index}`);
          return view;
        };
        await runFileOp(
          copyAll(places.map(({ folder }) => folder)),
          { directories, marks: snapshotter.marks, source, selected: () => undefined },
          { native },
          signal,
        );
        return { directory, [Symbol.asyncDispose]: async () => active[Symbol.asyncDispose]() };
      } catch (error) {
        await active[Symbol.asyncDispose]();
        throw error;
      }
    },
    packDirectory(directory, { mtimeSeconds }, signal) {
      return Readable.from(packLayer(native, { directory, marks: snapshotter.marks, mtimeSeconds }, signal), {
        objectMode: false,
      });
    },
  };
}
