import { isRecord } from "../../lib/core/json.ts";
import type { ProgressSink } from "../../lib/core/progress.ts";
import type { ImageFacts } from "../engine/images/image-summary.ts";
import type { ImageRequest, PlainRegistryOptions, RegistryImage } from "./images-here.ts";
import type { PlaceOptions } from "./process-environment.ts";
import { request } from "./requests.ts";
import { type Work, startWork } from "./work.ts";

/** Options of `push`. */
export interface PushOptions extends PlainRegistryOptions {
  /** Ends the work when it is aborted: the promise is then rejected with `build/cancelled`. */
  readonly signal?: AbortSignal | undefined;
  /** Called with each event; the alternative to iterating the returned work. Must not throw. */
  readonly onProgress?: ProgressSink | undefined;
}

/** Options of `pull`. */
export type PullOptions = Omit<PushOptions, "compression">;

/** Options of `inspect`. */
export interface InspectOptions extends PlaceOptions {
  /** One of several platforms; default: this machine's, or the first that is there. */
  readonly platform?: string | undefined;
}

/** Fetches an image with all its files into the local store. */
export function pull(image: string, options: PullOptions = {}): Work<RegistryImage> {
  return exchange("pull", image, options);
}

/** Sends an image of the local store to the registry in its name. */
export function push(image: string, options: PushOptions = {}): Work<RegistryImage> {
  return exchange("push", image, options);
}

/** Reads an image of the local store: configuration, layers, names. Rejected with `image/not-found` where there is none. */
export async function inspect(image: string, options: InspectOptions = {}): Promise<ImageFacts> {
  return request({ name: "inspect", image, options }, { progress: () => {} }, undefined, isFacts);
}

function exchange(name: ImageRequest["name"], image: string, options: PushOptions): Work<RegistryImage> {
  const { signal, onProgress, ...plain } = options;
  return startWork((tell) => {
    const progress: ProgressSink = (event) => {
      tell(event);
      onProgress?.(event);
    };
    return request({ name, image, options: plain }, { progress }, signal, isRegistryImage);
  });
}

function isRegistryImage(value: unknown): value is RegistryImage {
  return isRecord(value) && typeof value["digest"] === "string";
}

function isFacts(value: unknown): value is ImageFacts {
  return isRecord(value) && typeof value["Id"] === "string";
}
