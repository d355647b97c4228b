import { BuildError } from "../../lib/core/errors.ts";
import { type Platform, parsePlatform } from "../../lib/core/platform.ts";
import { selectPlatform } from "../../lib/registry/select-platform.ts";
import { flatIndex } from "../engine/images/flat-index.ts";
import type { StoredImage } from "../../lib/store/model.ts";
import type { Store } from "../../lib/store/store.ts";
import type { CommandContext } from "./context.ts";

/** Reads --platform; `undefined` when it is absent. */
export function platformOption(
  context: CommandContext,
  options: Readonly<Record<string, unknown>>,
): Platform | undefined {
  const text = options["platform"];
  return typeof text === "string" ? parsePlatform(text, context.environment.platform) : undefined;
}

/** Returns the platform of --platform, of DOCKER_DEFAULT_PLATFORM, or of this machine. */
export function platformOrDefault(context: CommandContext, options: Readonly<Record<string, unknown>>): Platform {
  const { environment, host } = context;
  const text = host.env["DOCKER_DEFAULT_PLATFORM"] ?? "";
  const byVariable = (): Platform => (text === "" ? environment.platform : parsePlatform(text, environment.platform));
  return platformOption(context, options) ?? byVariable();
}

/**
 * Finds an image by reference, id or the beginning of an id. Of several platforms, it takes that of --platform or this
 * machine's.
 * @throws {BuildError} `image/not-found`, `image/platform`
 */
export function findImage(
  context: CommandContext,
  store: Store,
  text: string,
  options: Readonly<Record<string, unknown>>,
): StoredImage {
  const found = store.images.find(text);
  if (found.kind === "image") return found.image;
  const wanted = platformOrDefault(context, options);
  const { digest } = selectPlatform(flatIndex(found.index, store.images), wanted, JSON.stringify(text));
  const image = store.images.get(digest);
  if (image !== undefined) return image;
  throw new BuildError(
    "image/not-found",
    `Cannot use ${JSON.stringify(text)}: the image for this platform is not in the store`,
    {
      hint: `run \`kiln pull ${text}\``,
    },
  );
}
