import { closeSync, createReadStream, openSync, writeSync } from "node:fs";
import { randomUUID } from "node:crypto";
import { basename, join } from "node:path";
import type { Logs, StepLog } from "./store.ts";

/** Limit of what a step's log holds, in bytes: a command that never stops printing must not fill the disk. */
const MAX_BYTES = 1 << 30;

/**
 * Opens the logs.
 * @param claim is given the name of a log before its file is made
 */
export function openLogs(directory: string, claim: (name: string) => void, maxBytes: number = MAX_BYTES): Logs {
  // Names come from records, which may be imported: accept only a name in this directory.
  const pathOf = (name: string): string => join(directory, basename(name));
  return {
    create(stepId) {
      const name = `${stepId.replace(/[^A-Za-z0-9-]/g, "-").slice(0, 40)}-${randomUUID().slice(0, 8)}.log`;
      return new FileLog(name, pathOf(name), { claim, maxBytes });
    },
    open: (name) => createReadStream(pathOf(name)),
    pathOf,
  };
}

interface FileLogParts {
  readonly claim: (name: string) => void;
  readonly maxBytes: number;
}

/**
 * Output is written before `write` returns. A queue would grow without limit, because a command prints faster than a
 * disk takes it; so the command waits.
 */
class FileLog implements StepLog {
  readonly name: string;
  readonly path: string;
  readonly #parts: FileLogParts;
  #sizeBytes = 0;
  #leftOutBytes = 0;
  /** Opened at the first byte: most steps print nothing, and a file costs more than they do. */
  #fd: number | undefined;
  #isClosed = false;

  constructor(name: string, path: string, parts: FileLogParts) {
    this.name = name;
    this.path = path;
    this.#parts = parts;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get leftOutBytes(): number {
    return this.#leftOutBytes;
  }

  write(chunk: Uint8Array | string): void {
    const bytes = typeof chunk === "string" ? Buffer.from(chunk) : chunk;
    const kept = bytes.subarray(0, Math.max(0, this.#parts.maxBytes - this.#sizeBytes));
    const written = this.#append(kept);
    this.#sizeBytes += written;
    this.#leftOutBytes += bytes.byteLength - written;
  }

  close(): void {
    if (this.#isClosed) return;
    if (this.#leftOutBytes > 0) {
      const limit = `a log holds ${this.#parts.maxBytes} bytes at most`;
      this.#append(Buffer.from(`\n[kiln: ${this.#leftOutBytes} bytes more were printed and are not here; ${limit}]\n`));
    }
    this.#isClosed = true;
    if (this.#fd !== undefined) closeSync(this.#fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Returns the bytes that were written: fewer than given on a full disk, where the step itself will fail. */
  #append(bytes: Uint8Array): number {
    if (bytes.byteLength === 0 || this.#isClosed) return 0;
    let written = 0;
    try {
      if (this.#fd === undefined) {
        this.#parts.claim(this.name);
        this.#fd = openSync(this.path, "wx", 0o600);
      }
      while (written < bytes.byteLength) written += writeSync(this.#fd, bytes, written);
    } catch {
      // A log is a by-product.
    }
    return written;
  }
}
