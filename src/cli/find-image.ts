import { BuildError } from "../core/errors.ts";
import { parsePlatform } from "../core/platform.ts";
import { selectPlatform } from "../registry/select-platform.ts";
import type { StoredImage } from "../store/model.ts";
import type { Store } from "../store/store.ts";
import type { CommandContext } from "./context.ts";

/**
 * The image somebody named: by reference, id or the beginning of an id. Of several platforms, `platform` or this machine's.
 * @throws {BuildError} `image/not-found`, `image/platform`
 */
export function findImage(context: CommandContext, store: Store, text: string, platform: unknown): StoredImage {
  const found = store.images.find(text);
  if (found.kind === "image") return found.image;
  const host = context.environment.platform;
  const wanted = typeof platform === "string" ? parsePlatform(platform, host) : host;
  const { digest } = selectPlatform(found.index, wanted, JSON.stringify(text));
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
