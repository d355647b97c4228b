import { closeSync, constants, createReadStream, fstatSync, openSync, readSync, type Stats } from "node:fs";
import { Socket } from "node:net";
import { addAbortSignal, type Readable, type Writable } from "node:stream";
import { setTimeout as wait } from "node:timers/promises";
import { isatty, ReadStream } from "node:tty";
import { type BuildError, errnoOf } from "./errors.ts";

/** A file named from outside. It may be a pipe without a writer, or a device without an end. */
export interface GivenFile {
  readonly path: string;
  /** Makes the error for a file that is refused; `why` follows a colon. */
  readonly refuse: (why: string) => BuildError;
}

/** Limit for configuration and certificates; a larger file is neither. */
const MAX_SETTINGS_BYTES = 16 << 20;

const CHUNK_BYTES = 64 << 10;

/**
 * Opens a file, a pipe or a terminal. No thread waits for a pipe's writer: such a thread could not be ended, and would
 * keep the program alive after Ctrl-C.
 * @returns a stream that its reader must destroy
 * @throws the system's error, and `refuse` for directories and devices
 */
export function openGiven(file: GivenFile): Readable {
  const { fd, status } = open(file);
  const waiting = waitingStream(fd, status);
  if (waiting !== undefined) return waiting;
  if (status.isFile() || status.isBlockDevice()) return createReadStream(file.path, { fd });
  closeSync(fd);
  throw file.refuse(status.isDirectory() ? "it is a directory" : "it is a device");
}

/**
 * Reads a whole file, pipe or device of at most `maxBytes`; a regular file is read synchronously.
 * @throws the system's error, and `refuse` for larger ones
 */
export async function readGiven(file: GivenFile, maxBytes: number, signal: AbortSignal): Promise<Buffer> {
  const { fd, status } = open(file);
  const waiting = waitingStream(fd, status);
  if (waiting === undefined) return readAndClose(fd, status, file, maxBytes);
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of addAbortSignal(signal, waiting) as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > maxBytes) throw tooLarge(file, maxBytes);
      chunks.push(chunk);
    }
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
  return Buffer.concat(chunks);
}

/**
 * Reads a file of at most `maxBytes` that no flag names, and that is therefore never a pipe or a terminal.
 * @throws the system's error, and `refuse` for one that is larger or would have to be waited for
 */
export function readSettings(file: GivenFile, maxBytes: number = MAX_SETTINGS_BYTES): Buffer {
  const { fd, status } = open(file);
  if (!status.isFIFO() && !isatty(fd)) return readAndClose(fd, status, file, maxBytes);
  closeSync(fd);
  throw file.refuse(status.isFIFO() ? "it is a pipe" : "it is a terminal");
}

/** Interval for polling a pipe. */
const LOOK_AGAIN_MS = 50;

/**
 * Opens a pipe for writing as soon as it has a reader. The system reports that moment only to a blocked thread, which
 * could not be ended, so this function polls.
 */
export async function openPipe(path: string, signal: AbortSignal): Promise<Writable> {
  for (;;) {
    signal.throwIfAborted();
    try {
      const fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
      return new Socket({ fd, readable: false, writable: true });
    } catch (error) {
      if (errnoOf(error) !== "ENXIO") throw error;
    }
    await wait(LOOK_AGAIN_MS, undefined, { signal });
  }
}

function open({ path }: GivenFile): { readonly fd: number; readonly status: Stats } {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return { fd, status: fstatSync(fd) };
}

/** Makes a stream over a pipe or a terminal, watched by the event loop; it closes `fd`. */
function waitingStream(fd: number, status: Stats): Readable | undefined {
  if (status.isFIFO()) return new Socket({ fd, readable: true, writable: false });
  return isatty(fd) ? new ReadStream(fd) : undefined;
}

function readAndClose(fd: number, status: Stats, file: GivenFile, maxBytes: number): Buffer {
  try {
    if (status.size > maxBytes && !status.isDirectory()) throw tooLarge(file, maxBytes);
    const chunks: Buffer[] = [];
    let size = 0;
    // Files of /proc report 0 bytes, and devices never end.
    for (let wanted = status.size + 1; ; wanted = CHUNK_BYTES) {
      const chunk = Buffer.alloc(Math.min(wanted, maxBytes + 1 - size));
      const count = readSync(fd, chunk);
      if (count === 0) return Buffer.concat(chunks, size);
      size += count;
      if (size > maxBytes) throw tooLarge(file, maxBytes);
      chunks.push(chunk.subarray(0, count));
    }
  } finally {
    closeSync(fd);
  }
}

function tooLarge(file: GivenFile, maxBytes: number): BuildError {
  const units = [
    [20, "MiB"],
    [10, "KiB"],
  ] as const;
  const [shift, unit] = units.find(([bits]) => maxBytes % (1 << bits) === 0) ?? [0, "bytes"];
  return file.refuse(`it has more than ${maxBytes >> shift} ${unit}`);
}
