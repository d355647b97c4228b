import { type Platform, normalizePlatform } from "../../lib/core/platform.ts";
import type { ImageDraft } from "./conversion.ts";

/** Gives the image the explicit target's platform, if there is one, even where its base says another. */
export function finalImage(image: ImageDraft, target: Platform | undefined): ImageDraft {
  const { os, architecture, variant, "os.version": version, "os.features": features, ...rest } = image;
  const isSame = target === undefined || (target.os === os && target.architecture === architecture);
  const platform = normalizePlatform({
    os: target?.os ?? os,
    architecture: target?.architecture ?? architecture,
    ...pick("variant", target?.variant ?? (isSame ? variant : undefined)),
    ...pick("osVersion", target?.osVersion ?? (isSame ? version : undefined)),
    ...pick("osFeatures", target?.osFeatures ?? features),
  });
  return {
    ...rest,
    architecture: platform.architecture,
    os: platform.os,
    ...pick("variant", platform.variant),
    ...pick("os.version", platform.osVersion),
    ...pick("os.features", platform.osFeatures),
  };
}

function pick<Key extends string, Value>(key: Key, value: Value | undefined): { readonly [K in Key]?: Value } {
  // One computed member, present only when there is a value: exactOptionalPropertyTypes.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a computed name widens to string, this one is Key
  return value === undefined ? {} : ({ [key]: value } as { readonly [K in Key]: Value });
}
