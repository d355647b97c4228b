import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { printableOutput } from "../../lib/core/printable.ts";
import { formatBytes } from "../progress/step-book.ts";
import type { PageLog } from "./data.ts";

/** Limits of what a page holds of logs, in bytes: of one log from its beginning and its end, and of all. */
const HEAD_BYTES = 64 << 10;
const TAIL_BYTES = 256 << 10;
const ALL_BYTES = 4 << 20;

/**
 * Reads logs for a page: short ones whole, of long ones the beginning and the end, with a sentence between them. Logs that
 * are gone, and those beyond the limit of all, are left out.
 */
export function readLogs(names: readonly string[], pathOf: (name: string) => string): ReadonlyMap<string, PageLog> {
  const logs = new Map<string, PageLog>();
  let left = ALL_BYTES;
  for (const name of names) {
    const log = logs.has(name) ? undefined : readLog(pathOf(name), left);
    if (log === undefined) continue;
    logs.set(name, log);
    left = Math.max(0, left - log.text.length - (log.cut?.rest.length ?? 0));
  }
  return logs;
}

function readLog(path: string, leftBytes: number): PageLog | undefined {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch {
    return undefined; // a prune took it
  }
  try {
    const { size } = fstatSync(fd);
    const head = Math.min(HEAD_BYTES, leftBytes);
    const tail = Math.min(TAIL_BYTES, Math.max(0, leftBytes - head));
    if (size <= head + tail) return { text: textAt(fd, 0, size), cut: undefined };
    const note = `Here ${formatBytes(size - head - tail)} of ${formatBytes(size)} are left out; "kiln builds logs" prints the whole log.`;
    return { text: textAt(fd, 0, head), cut: { note, rest: textAt(fd, size - tail, tail) } };
  } finally {
    closeSync(fd);
  }
}

function textAt(fd: number, offset: number, length: number): string {
  const bytes = Buffer.alloc(length);
  const read = readSync(fd, bytes, 0, length, offset);
  return printableOutput(bytes.toString("utf8", 0, read));
}
