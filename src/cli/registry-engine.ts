import type { Descriptor } from "../../lib/core/oci.ts";
import type { Engine } from "../engine/engine.ts";
import type { GivenAccounts } from "../engine/images/registry-options.ts";
import type { BlobWay } from "../engine/remote/copy-content.ts";
import { formatBytes } from "../progress/step-book.ts";
import type { CommandContext } from "./context.ts";
import { noticesOnly } from "./progress-output.ts";

/** Opens an engine for a command that works on registries; --insecure is for the registries it names. */
export function registryEngine(
  context: CommandContext,
  options: Readonly<Record<string, unknown>>,
  registries: readonly string[],
  accounts: GivenAccounts,
): Engine {
  return context.openEngine({
    progress: noticesOnly(context),
    insecureRegistries: options["insecure"] === true ? registries : [],
    accounts,
  });
}

/** Counts blobs by the way they came to their place. */
export function blobCounter(): {
  readonly note: (blob: Descriptor, way: BlobWay) => void;
  readonly text: () => string;
} {
  const counts: Record<BlobWay, number> = { sent: 0, mounted: 0, exists: 0 };
  let bytes = 0;
  return {
    note: (blob, way) => {
      counts[way] += 1;
      if (way === "sent") bytes += blob.size;
    },
    text: () =>
      `${formatBytes(bytes)} sent in ${counts.sent} blobs, ${counts.mounted} mounted, ${counts.exists} there before`,
  };
}
