import { createReadStream, createWriteStream, type WriteStream } from "node:fs";
import { randomUUID } from "node:crypto";
import { basename, join } from "node:path";
import type { Logs, StepLog } from "./store.ts";

/**
 * Opens the logs.
 * @param claim is given the name of a log before its file is made
 */
export function openLogs(directory: string, claim: (name: string) => void): Logs {
  // Names come from records, which may be imported: accept only a name in this directory.
  const pathOf = (name: string): string => join(directory, basename(name));
  return {
    create(stepId) {
      const name = `${stepId.replace(/[^A-Za-z0-9-]/g, "-").slice(0, 40)}-${randomUUID().slice(0, 8)}.log`;
      return new FileLog(name, pathOf(name), claim);
    },
    open: (name) => createReadStream(pathOf(name)),
    pathOf,
  };
}

class FileLog implements StepLog {
  readonly name: string;
  readonly path: string;
  readonly #claim: (name: string) => void;
  #sizeBytes = 0;
  /** Opened at the first byte: most steps print nothing, and a file costs more than they do. */
  #stream: WriteStream | undefined;

  constructor(name: string, path: string, claim: (name: string) => void) {
    this.name = name;
    this.path = path;
    this.#claim = claim;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  write(chunk: Uint8Array | string): void {
    const bytes = typeof chunk === "string" ? Buffer.from(chunk) : chunk;
    if (bytes.byteLength === 0) return;
    if (this.#stream === undefined) {
      this.#claim(this.name);
      this.#stream = createWriteStream(this.path, { flags: "wx", mode: 0o600 });
      // A log is a by-product: when the disk is full, the step itself will fail.
      this.#stream.on("error", () => undefined);
    }
    this.#sizeBytes += bytes.byteLength;
    if (this.#stream.writable) this.#stream.write(bytes);
  }

  async close(): Promise<void> {
    const stream = this.#stream;
    if (stream === undefined || stream.closed) return;
    await new Promise<void>((resolve) => {
      stream.once("close", resolve);
      stream.end();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
