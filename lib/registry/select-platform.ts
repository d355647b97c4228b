import { BuildError } from "../core/errors.ts";
import type { Descriptor, Index } from "../core/oci.ts";
import { formatPlatform, type Platform, platformPreference, samePlatform } from "../core/platform.ts";

/**
 * Chooses the entry of an index for a machine of `platform`: the platform itself, then older variants. It may be an
 * index again. Entries that are no images (attestations have platform `unknown/unknown`) never match.
 * @throws {BuildError} `image/platform`; `where` is the image's name as written by the user
 */
export function selectPlatform(index: Index, platform: Platform, where: string): Descriptor {
  const offered = index.manifests.flatMap((descriptor) => {
    const found = platformOf(descriptor);
    return found === undefined ? [] : [{ descriptor, platform: found }];
  });
  for (const wanted of platformPreference(platform)) {
    const match = offered.find((entry) => samePlatform(entry.platform, wanted));
    if (match !== undefined) return match.descriptor;
  }
  // An index may list manifests without platforms: then the first one is taken, as containerd does.
  const unnamed = index.manifests.find((one) => one.platform === undefined && !isAttestation(one));
  if (unnamed !== undefined) return unnamed;
  const names = [...new Set(offered.map((entry) => formatPlatform(entry.platform)))];
  throw new BuildError(
    "image/platform",
    `Cannot use ${JSON.stringify(where)} on ${formatPlatform(platform)}: the image is not made for it`,
    {
      hint:
        names.length === 0
          ? "the image lists no platforms at all"
          : `it is made for ${names.join(", ")}: choose one with --platform`,
    },
  );
}

/** Tells whether buildx marked an entry as describing another entry. */
function isAttestation({ annotations }: Descriptor): boolean {
  return annotations?.["vnd.docker.reference.type"] !== undefined;
}

/** Returns the platform of an entry's image. */
export function platformOf(descriptor: Descriptor): Platform | undefined {
  const { platform } = descriptor;
  if (platform === undefined || platform.architecture === "" || platform.os === "unknown") return undefined;
  return {
    // An omitted os means Linux in practice.
    os: platform.os === "" ? "linux" : platform.os,
    architecture: platform.architecture,
    ...(platform.variant === undefined ? {} : { variant: platform.variant }),
    ...(platform["os.version"] === undefined ? {} : { osVersion: platform["os.version"] }),
    ...(platform["os.features"] === undefined ? {} : { osFeatures: platform["os.features"] }),
  };
}
