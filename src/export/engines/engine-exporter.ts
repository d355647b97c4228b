import { formatPlatform } from "../../../lib/core/platform.ts";
import { familiarReference, parseReference } from "../../../lib/core/reference.ts";
import { assemble, type Assembled, identityOf } from "../assemble.ts";
import { type ExportProgress, type Exporter, type Result, withoutAttestations } from "../exporter.ts";
import type { LayerSources } from "../layers.ts";
import { layoutExporter } from "../layout-exporter.ts";
import { type EngineName, type EngineOutput, type ImageOptions, namesOf } from "../output-spec.ts";
import { reportSubtask } from "../report.ts";
import { commandEngine } from "./command-engine.ts";
import { dockerEngine, type DockerPlace } from "./docker-engine.ts";
import { type ImageEngine, UnreachableRegistryError } from "./image-engine.ts";
import { serveImage } from "./image-server.ts";

/** Hands an image to an engine: the engine pulls what it lacks from a registry that lives as long as the pull. */
export function engineExporter(
  { engine: name, image: given, context }: EngineOutput,
  place: Omit<DockerPlace, "context">,
  on: LayerSources,
): Exporter {
  // Nothing travels, so nothing is compressed: layers go as they are.
  const options: ImageOptions = { ...given, compression: given.compression ?? "uncompressed" };
  return {
    description: `loading into ${name}`,
    async export(result, progress, signal) {
      const engine = name === "docker" ? dockerEngine({ ...place, context }) : commandEngine(name, place.env);
      const wanted = withoutAttestations(result);
      const assembled = await assemble(wanted, options, on, progress, signal);
      const names = namesOf(options, result);
      await loadInto(engine, { name, names, assembled, result: wanted, options }, on, progress, signal);
      for (const one of names) reportSubtask(progress, `naming to ${familiarReference(parseReference(one), "shown")}`);
      return { ...identityOf(assembled), names };
    },
  };
}

interface Load {
  readonly name: EngineName;
  readonly names: readonly string[];
  readonly assembled: Assembled;
  readonly result: Result;
  readonly options: ImageOptions;
}

async function loadInto(
  engine: ImageEngine,
  load: Load,
  on: LayerSources,
  progress: ExportProgress,
  signal: AbortSignal,
): Promise<void> {
  const { assembled, names, name } = load;
  const { configDigest } = identityOf(assembled);
  if (configDigest !== undefined && names.length > 0 && (await engine.has(configDigest, signal))) {
    reportSubtask(progress, `${name} has the image`);
    for (const to of names) await engine.tag(configDigest, to, signal);
    return;
  }
  const platforms = await platformsFor(engine, load, progress, signal);
  // An image without a name cannot be pulled: taking the only name away would remove it.
  if (names.length === 0) return loadArchive(engine, load, on, progress, signal);
  await using server = await serveImage(assembled, signal);
  try {
    await engine.pull(server.reference, platforms, signal);
  } catch (error) {
    if (!(error instanceof UnreachableRegistryError)) throw error;
    progress.sink({ kind: "notice", level: "info", message: `${error.message}: it gets an archive`, hint: undefined });
    await loadArchive(engine, load, on, progress, signal);
    return;
  }
  try {
    for (const to of names) await engine.tag(server.reference, to, signal);
  } catch (error) {
    await engine.untag(server.reference, signal).catch(() => undefined);
    throw error;
  }
  await engine.untag(server.reference, signal);
}

/** Decides which platforms of an index to ask for. An engine that keeps only one takes its own. */
async function platformsFor(
  engine: ImageEngine,
  { result, name }: Load,
  progress: ExportProgress,
  signal: AbortSignal,
): Promise<readonly string[]> {
  if (result.images.length < 2) return [];
  const platforms = result.images.map(({ platform }) => formatPlatform(platform));
  if ((await engine.keeps(signal)) === "all platforms") return platforms;
  progress.sink({
    kind: "notice",
    level: "warning",
    message: `${name} keeps one platform of an image: of ${platforms.join(", ")} it takes its own`,
    hint: "docker's containerd image store keeps all",
  });
  return [];
}

async function loadArchive(
  engine: ImageEngine,
  { result, options }: Load,
  on: LayerSources,
  progress: ExportProgress,
  signal: AbortSignal,
): Promise<void> {
  const kind = result.images.length > 1 || result.multiPlatform ? "oci" : "docker";
  await engine.load(async (open) => {
    await layoutExporter(kind, { form: "tar", open }, options, on).export(result, progress, signal);
  }, signal);
}
