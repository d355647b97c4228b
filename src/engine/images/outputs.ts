import { createWriteStream, rename as renameThen, rm as rmThen, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { Writable } from "node:stream";
import { parseReference, formatReference } from "../../../lib/core/reference.ts";
import type { Exporter, OpenDestination } from "../../export/exporter.ts";
import { imageExporter } from "../../export/image-exporter.ts";
import { layoutExporter } from "../../export/layout-exporter.ts";
import type { EngineOutput, ImageOptions, OutputSpec } from "../../export/output-spec.ts";
import { localExporter, tarExporter } from "../../export/tree-exporters.ts";
import type { Engine } from "../engine.ts";
import type { BuildEnvironment } from "../environment.ts";
import { type TreeParts, treeTools } from "../flatten.ts";
import { BuildError, errnoOf, messageOf } from "../../../lib/core/errors.ts";
import { openPipe } from "../../../lib/core/given-file.ts";
import { dockerConfigDirectory } from "./registry-options.ts";
import { makeDestination } from "../../export/make-destination.ts";

/** The parts of an engine for writing outputs. */
export type ExporterParts = Pick<Engine, "environment" | "store" | "layers" | "registry"> & TreeParts;

/** Makes the sink of one output; `undefined` for one that writes nothing. */
export function exporterFor(output: OutputSpec, engine: ExporterParts): Exporter | undefined {
  const on = engine.layers;
  const at = (path: string): string => resolve(engine.environment.workingDirectory, path);
  switch (output.kind) {
    case "image": {
      const full = { ...output, image: withFullNames(output.image) };
      return imageExporter(full, { ...on, client: () => engine.registry() });
    }
    case "oci":
    case "docker": {
      const image = withFullNames(output.image);
      if (output.form === "directory") {
        return layoutExporter(output.kind, { form: "directory", path: at(output.destination) }, image, on);
      }
      const open = openDestination(output.destination, engine.environment);
      return layoutExporter(output.kind, { form: "tar", open }, image, on);
    }
    case "local":
      return localExporter(at(output.destination), output, treeTools(engine));
    case "tar":
      return tarExporter(openDestination(output.destination, engine.environment), output, treeTools(engine));
    case "engine": {
      const { environment } = engine;
      const place = { env: environment.env, configDirectory: dockerConfigDirectory(environment) };
      return lazyEngineExporter({ ...output, image: withFullNames(output.image) }, place, on);
    }
    case "cacheonly":
      return undefined;
    default:
      return output satisfies never;
  }
}

/** Loads the exporter, with its HTTP server and client, when there is something to export. */
function lazyEngineExporter(
  output: EngineOutput,
  place: { readonly env: BuildEnvironment["env"]; readonly configDirectory: string },
  on: Engine["layers"],
): Exporter {
  return {
    description: `loading into ${output.engine}`,
    async export(result, progress, signal) {
      const { engineExporter } = await import("../../export/engines/engine-exporter.ts");
      return engineExporter(output, place, on).export(result, progress, signal);
    },
  };
}

function withFullNames(image: ImageOptions): ImageOptions {
  return { ...image, names: image.names.map((name) => formatReference(parseReference(name))) };
}

/** Opens a file that gets its name when it is complete; `-` is standard output. */
export function openDestination(path: string, environment: BuildEnvironment): OpenDestination {
  if (path === "-") return async () => checked(environment.stdout(), "standard output", "not ours to end");
  const target = resolve(environment.workingDirectory, path);
  return async (signal) => {
    makeDestination(dirname(target));
    // A file cannot replace a pipe or a device.
    const status = statSync(target, { throwIfNoEntry: false });
    if (status?.isFIFO() === true) return checked(await openPipe(target, signal), target, "to be ended");
    if (status !== undefined && !status.isFile()) return checked(createWriteStream(target), target, "to be ended");
    return fileOnFinish(target, join(dirname(target), `.kiln-${environment.pid}-${environment.nowMs()}.partial`));
  };
}

/** Makes a stream into `partial`, which is renamed when complete, and removed after a failure. */
function fileOnFinish(target: string, partial: string): Writable {
  const file = createWriteStream(partial);
  // The failing write reports it.
  file.on("error", () => undefined);
  return new Writable({
    write: (chunk, encoding, done) => void file.write(chunk, encoding, (error) => done(failed(target, error))),
    final: (done) => void file.end(() => renameThen(partial, target, done)),
    destroy: (error, done) => {
      file.destroy();
      rmThen(partial, { force: true }, () => done(error));
    },
  });
}

/** Makes a stream with failures that name the output. Standard output must not be ended. */
function checked(stream: Writable, name: string, end: "to be ended" | "not ours to end"): Writable {
  stream.on("error", () => undefined);
  return new Writable({
    write: (chunk, encoding, done) => void stream.write(chunk, encoding, (error) => done(failed(name, error))),
    ...(end === "to be ended" ? { final: (done: () => void) => void stream.end(done) } : {}),
  });
}

/** Turns an error of writing (disk, device, or reader) into a BuildError. */
function failed(name: string, error: Error | null | undefined): BuildError | undefined {
  if (error === undefined || error === null) return undefined;
  const why = errnoOf(error) === "EPIPE" ? "its reader has stopped reading" : messageOf(error);
  return new BuildError("export/failed", `Cannot write to ${name}: ${why}`, { cause: error });
}
