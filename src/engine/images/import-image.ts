import { statSync } from "node:fs";
import { resolve } from "node:path";
import type { Readable } from "node:stream";
import { BuildError } from "../../../lib/core/errors.ts";
import { openGiven } from "../../../lib/core/given-file.ts";
import { serializeImageConfig } from "../../../lib/core/image-config.ts";
import { type ContainerConfig, type ImageConfig, MEDIA_TYPES } from "../../../lib/core/oci.ts";
import type { Platform } from "../../../lib/core/platform.ts";
import { formatReference, parseReference } from "../../../lib/core/reference.ts";
import { SourceText } from "../../../lib/core/span.ts";
import { configDescriptor, descriptorPlatform, manifestDocument } from "../../export/documents.ts";
import { formatTime } from "../../export/history.ts";
import type { SnapshotId, StoredImage } from "../../../lib/store/model.ts";
import { decompress, sniffCompression } from "../../../lib/tar/compression.ts";
import { unpackArchive } from "../../../lib/tar/unpack.ts";
import { convertDockerfile } from "../../../frontend/convert/convert.ts";
import { NO_FLAGS } from "../../../frontend/convert/options.ts";
import { parseDockerfile } from "../../../frontend/parse.ts";
import { copyAll } from "../flatten.ts";
import { runFileOp } from "../../../solver/ops/file/run-file-op.ts";
import { stackView } from "../../../solver/ops/file/stack-view.ts";
import type { Engine } from "../engine.ts";

type ImportParts = Pick<Engine, "environment" | "native" | "store" | "snapshotter" | "packPool">;

export interface ImportOptions {
  /** A directory, a tar (compressed or not), or `-` for a tar on standard input. */
  readonly source: string;
  /** Names for the image; may be empty. */
  readonly tags: readonly string[];
  /** Dockerfile instructions for the configuration: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, USER, VOLUME, WORKDIR ... */
  readonly changes: readonly string[];
  readonly message: string;
  readonly platform: Platform;
}

/** Makes an image of one layer from a root file system, as `docker import` does. Owners are kept. */
export async function importImage(
  engine: ImportParts,
  options: ImportOptions,
  signal: AbortSignal,
): Promise<StoredImage> {
  const { store, snapshotter } = engine;
  const names = options.tags.map((tag) => formatReference(parseReference(tag)));
  const config = await changedConfig(options, signal);
  const snapshot = await readRoot(engine, options.source, signal);
  const measured = await engine.packPool.measure(
    { directory: snapshotter.pathOf(snapshot), marks: snapshotter.marks },
    signal,
  );
  const { diffId, sizeBytes, contentDigest } = measured;
  const created = formatTime(engine.environment.nowMs());
  const image: ImageConfig = {
    ...descriptorPlatform(options.platform),
    created,
    config,
    rootfs: { type: "layers", diff_ids: [diffId] },
    history: [{ created, comment: options.message }],
    other: {},
  };
  const bytes = serializeImageConfig(image);
  const manifest = manifestDocument({
    family: "oci",
    config: configDescriptor("oci", bytes),
    layers: [{ mediaType: MEDIA_TYPES.ociLayer, digest: diffId, size: sizeBytes }],
    annotations: {},
  });
  return store.images.put({
    manifest: manifest.bytes,
    config: bytes,
    mediaType: manifest.descriptor.mediaType,
    layers: [snapshot],
    newSnapshots: [{ id: snapshot, state: "present", diffId, tarSizeBytes: sizeBytes, contentDigest }],
    names,
  });
}

/** Applies `--change` lines, a Dockerfile on an empty image. Instructions that need a step are refused. */
async function changedConfig(options: ImportOptions, signal: AbortSignal): Promise<ContainerConfig> {
  if (options.changes.length === 0) return {};
  const source = new SourceText("--change", ["FROM scratch", ...options.changes, ""].join("\n"));
  const unused = async (): Promise<never> => {
    throw new BuildError("cli/usage", "Cannot use --change: it takes no instruction that needs files");
  };
  const conversion = await convertDockerfile(
    parseDockerfile(source),
    {
      ...NO_FLAGS,
      buildPlatform: options.platform,
      targetPlatform: options.platform,
      context: { kind: "scratch" },
    },
    { image: unused, namedContext: async () => undefined, sourceDate: async () => undefined },
    signal,
  );
  const hasLayer = conversion.history.some((draft) => draft.kind === "new" && !draft.emptyLayer);
  if (!hasLayer) return withoutDefaults(conversion.image.config, options.changes);
  throw new BuildError("cli/usage", "Cannot use --change: RUN, COPY, ADD and WORKDIR need a build", {
    hint: "import the files first, then build on the image with FROM",
  });
}

/** Removes the defaults of a build on an empty image: an import has only the requested changes. */
function withoutDefaults(config: ContainerConfig, changes: readonly string[]): ContainerConfig {
  const { ArgsEscaped: _escaped, WorkingDir: _directory, Env: env = [], ...rest } = config;
  const isPathGiven = changes.some((change) => /^\s*ENV\s.*\bPATH[=\s]/is.test(change));
  const kept = isPathGiven ? env : env.filter((entry) => !entry.startsWith("PATH="));
  return kept.length === 0 ? rest : { ...rest, Env: kept };
}

async function readRoot(engine: ImportParts, source: string, signal: AbortSignal): Promise<SnapshotId> {
  const { environment, native, snapshotter } = engine;
  const path = resolve(environment.workingDirectory, source);
  const status = source === "-" ? undefined : statSync(path, { throwIfNoEntry: false });
  if (source !== "-" && status === undefined) {
    throw new BuildError("context/not-found", `Cannot import ${JSON.stringify(source)}: there is no such file`, {
      hint: "give a directory or a tar with a root file system, or - for standard input",
    });
  }
  await using active = await snapshotter.prepare([], signal);
  const { directories } = active;
  const [directory] = directories;
  if (directory === undefined) throw new Error("a snapshot without a directory");
  if (status?.isDirectory() === true) {
    using view = stackView({ native, directories: [path], marks: undefined, name: source });
    const at = { directories, marks: snapshotter.marks, source: () => view, selected: () => undefined };
    await runFileOp(copyAll([""]), at, { native }, signal);
  } else {
    const refuse = (why: string): BuildError =>
      new BuildError("context/unsupported", `Cannot import ${JSON.stringify(source)}: ${why}`);
    const bytes: Readable = source === "-" ? environment.stdin() : openGiven({ path, refuse });
    const { kind, stream } = await sniffCompression(bytes, signal);
    await unpackArchive(decompress(stream, kind, signal), { native, directory, reserved: "refuse" }, signal);
  }
  return await active.commit(signal);
}
