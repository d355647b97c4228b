import { parentPort, workerData } from "node:worker_threads";
import { loadNative, type Native } from "../native/native.ts";
import { measureLayer, type PackOptions } from "./pack.ts";

/** What the pool sends and gets back. `id` pairs an answer with its question. */
export interface MeasureRequest {
  readonly id: number;
  readonly options: PackOptions;
}

/** The thread's side of PackPool: measures one layer after the other until it is terminated. */
export function runPackWorker(): void {
  const port = parentPort;
  if (port === null) throw new Error("The pack worker runs as a worker thread only");
  const { nativePath } = workerData as { readonly nativePath: string };
  let native: Native | undefined;
  port.on("message", ({ id, options }: MeasureRequest) => {
    try {
      native ??= loadNative(nativePath);
      port.postMessage({ id, result: measureLayer(native, options) });
    } catch (error) {
      // A BuildError would lose its class on the way; the pool makes it again from these.
      const { message, code, stack } = error as Error & { readonly code?: string };
      port.postMessage({ id, failure: { message, code, stack } });
    }
  });
}

if (parentPort !== null) runPackWorker();
