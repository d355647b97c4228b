import type { Readable } from "node:stream";
import { BuildError } from "../../../lib/core/errors.ts";
import type { Digest } from "../../../lib/core/digest.ts";
import type { OpenDestination } from "../exporter.ts";
import type { EngineName } from "../output-spec.ts";

/** An engine that keeps images. Every method throws BuildErrors that name the engine. */
export interface ImageEngine {
  /** Tells whether the engine has an image, by the digest of its configuration. */
  has(configDigest: Digest, signal: AbortSignal): Promise<boolean>;
  /**
   * Has the engine pull an image from a registry of this machine; empty `platforms` for the engine's own.
   * @throws {UnreachableRegistryError} where the engine cannot reach it
   */
  pull(reference: string, platforms: readonly string[], signal: AbortSignal): Promise<void>;
  /** Tells which platforms of an index the engine can keep at once. */
  keeps(signal: AbortSignal): Promise<"one platform" | "all platforms">;
  /** Gives an image a further name, which may have meant another image. */
  tag(from: string, to: string, signal: AbortSignal): Promise<void>;
  /** Takes a name away. The image has others. */
  untag(reference: string, signal: AbortSignal): Promise<void>;
  /** Opens an archive of one of its images. */
  save(name: string, signal: AbortSignal): Promise<Readable>;
  /** Has the engine read an archive; `write` writes it to the end. */
  load(write: (open: OpenDestination) => Promise<void>, signal: AbortSignal): Promise<void>;
}

/** The engine lives where this machine's loopback interface is another one. */
export class UnreachableRegistryError extends BuildError {
  constructor(engine: EngineName, why: string) {
    super("export/failed", `${engine} cannot reach a registry on this machine: ${why}`);
  }
}

/** Pattern of engines' messages when nothing answers at an address. */
export const NO_CONNECTION =
  /connection refused|no route to host|i\/o timeout|network is unreachable|deadline exceeded|HTTP response to HTTPS client/i;

export function engineFailure(engine: EngineName, doing: string, why: string, hint?: string): BuildError {
  return new BuildError("export/failed", `Cannot ${doing} ${engine}: ${why}`, {
    hint: hint ?? "-o type=docker,dest=FILE writes an archive that can be loaded later",
  });
}
