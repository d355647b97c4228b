import { loadNative, type Native } from "../native/native.ts";
import { measureLayer, type PackOptions } from "./pack.ts";

/** What the pool sends. `id` pairs an answer with its question. */
export interface MeasureRequest {
  readonly id: number;
  readonly nativePath: string;
  readonly ownersDirectory: string | undefined;
  readonly options: PackOptions;
}

/** The worker process's side of PackPool: measures one layer after the other until it is killed or its parent is gone. */
function runPackWorker(): void {
  let native: Native | undefined;
  process.on("message", (message) => {
    const { id, nativePath, ownersDirectory, options } = message as MeasureRequest;
    try {
      native ??= load(nativePath, ownersDirectory);
      process.send?.({ id, result: measureLayer(native, options) });
    } catch (error) {
      // A BuildError would lose its class on the way; the pool makes it again from these.
      const { message: text, code, stack } = error as Error & { readonly code?: string };
      process.send?.({ id, failure: { message: text, code, stack } });
    }
  });
}

function load(nativePath: string, ownersDirectory: string | undefined): Native {
  const native = loadNative(nativePath);
  if (ownersDirectory !== undefined) native.keepOwners(ownersDirectory);
  return native;
}

runPackWorker();
