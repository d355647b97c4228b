import { BuildError } from "../../../lib/core/errors.ts";
import { hexOf } from "../../../lib/core/digest.ts";
import { formatPlatform, type Platform } from "../../../lib/core/platform.ts";
import { selectPlatform } from "../../../lib/registry/select-platform.ts";
import type { ResolvedBase } from "../../../frontend/convert/resolver.ts";
import { flatIndex } from "./flat-index.ts";
import { loadArchive, loadImages, type LoadParts } from "./load-images.ts";
import type { LoadedImage } from "./load-layout.ts";
import { dockerConfigDirectory } from "./registry-options.ts";

/** A place of images that is no registry, by the names that skopeo and podman have for them. */
export type ImagePlace =
  | { readonly kind: "docker-daemon" | "containers-storage"; readonly name: string }
  | { readonly kind: "docker-archive" | "oci-archive" | "oci"; readonly path: string };

/** Reads `docker-daemon:app:1`, `oci:layout` and the like; `undefined` for other texts. */
export function imagePlace(text: string): ImagePlace | undefined {
  const [, kind, rest = ""] =
    /^(docker-daemon|containers-storage|docker-archive|oci-archive|oci):(?!\/\/)(.+)$/.exec(text) ?? [];
  switch (kind) {
    case "docker-daemon":
    case "containers-storage":
      return { kind, name: rest };
    case "docker-archive":
    case "oci-archive":
    case "oci":
      return { kind, path: rest };
    default:
      return undefined;
  }
}

/** Loads what is at a place into the store. @throws {BuildError} `image/not-found`, `context/not-found`, `export/failed` */
export async function loadFrom(
  engine: LoadParts,
  place: ImagePlace,
  platform: Platform | undefined,
  signal: AbortSignal,
): Promise<LoadedImage[]> {
  const { environment } = engine;
  switch (place.kind) {
    case "docker-daemon": {
      const { dockerEngine } = await import("../../export/engines/docker-engine.ts");
      const configDirectory = dockerConfigDirectory(environment);
      const docker = dockerEngine({ env: environment.env, configDirectory, context: undefined });
      return loadArchive(engine, await docker.save(place.name, signal), platform, signal);
    }
    case "containers-storage": {
      const { commandEngine } = await import("../../export/engines/command-engine.ts");
      const podman = commandEngine("podman", environment.env);
      return loadArchive(engine, await podman.save(place.name, signal), platform, signal);
    }
    case "docker-archive":
    case "oci-archive":
    case "oci":
      return loadImages(engine, { source: place.path, platform }, signal);
    default:
      return place satisfies never;
  }
}

/** Loads the one image of a place as a base image. @throws {BuildError} `context/unsupported` for a place with several */
export async function baseFrom(
  engine: LoadParts,
  place: ImagePlace,
  platform: Platform,
  signal: AbortSignal,
): Promise<ResolvedBase> {
  const [loaded, ...others] = await loadFrom(engine, place, undefined, signal);
  if (loaded === undefined || others.length > 0) {
    const count = loaded === undefined ? "no image" : "several images";
    throw new BuildError("context/unsupported", `Cannot use ${place.kind} as a base: it has ${count}`);
  }
  const { images } = engine.store;
  const found = images.find(loaded.digest);
  const member =
    found.kind === "index" ? selectPlatform(flatIndex(found.index, images), platform, place.kind) : undefined;
  const image = found.kind === "image" ? found.image : member === undefined ? undefined : images.get(member.digest);
  if (image === undefined) {
    throw new BuildError("image/platform", `Cannot use ${place.kind}: it has no image for ${formatPlatform(platform)}`);
  }
  const { manifestDigest: manifest, config } = image;
  return { ref: `${place.kind}/${hexOf(manifest).slice(0, 12)}:latest`, manifest, config };
}
