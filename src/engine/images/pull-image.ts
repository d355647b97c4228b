import type { Platform } from "../../../lib/core/platform.ts";
import type { ProgressSink } from "../../../lib/core/progress.ts";
import { familiarReference, formatReference, type ImageRef } from "../../../lib/core/reference.ts";
import type { ResolvedImage } from "../../../solver/ports.ts";
import type { Engine } from "../engine.ts";
import { shownStep } from "../shown-step.ts";

/** An image that is wanted with all its files. */
export interface Pull {
  readonly reference: ImageRef;
  readonly platform: Platform;
  /** Shows the layers as one step of the display; false for a caller that shows transfers itself. */
  readonly isStep: boolean;
  /** Is called when the image is known, before its layers are fetched. */
  readonly found?: () => void;
}

/** Fetches an image under its own name, and unpacks its layers. */
export async function pullImage(
  engine: Engine,
  { reference, platform, isStep, found }: Pull,
  progress: ProgressSink,
  signal: AbortSignal,
): Promise<ResolvedImage> {
  const wanted = { platform, mode: "pull", name: "of the store" } as const;
  const image = await engine.images.resolve(formatReference(reference), wanted, signal);
  found?.();
  const stack = await engine.images.stack(image, signal);
  const id = `pulling ${familiarReference(reference)}`;
  const layers = (): Promise<void> => engine.images.materialize(stack, isStep ? id : undefined, signal);
  await (isStep ? shownStep(id, { progress, clock: engine.environment }, layers) : layers());
  return image;
}
