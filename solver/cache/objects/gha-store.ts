import type { Readable } from "node:stream";
import { hexOf } from "../../../lib/core/digest.ts";
import { type GhaService, KILN_VERSION } from "./gha-service.ts";
import type { NewObject, ObjectName, ObjectStore } from "./object-store.ts";

/** The version of BuildKit's entries. */
const BUILDKIT_VERSION = "693bb7016429d80366022f036f84856888c9f13e00145f5f6f4dce303a38d6f2";

/**
 * Objects in the cache service of GitHub. Its entries are written once and cannot be replaced, and a name whose writer
 * died stays taken. So each write has a name of its own, and the newest of an object's names is found by its beginning.
 * The service itself decides what a branch may see: its own entries, then those of the default branch.
 */
export class GhaStore implements ObjectStore {
  readonly #service: GhaService;
  readonly #scope: string;
  readonly #indexes: readonly string[];
  readonly #newId: () => string;

  /** @param newId must never give one name twice */
  constructor(
    service: GhaService,
    place: { readonly scope: string; readonly buildKitIndexes: readonly string[] },
    newId: () => string,
  ) {
    this.#service = service;
    this.#scope = place.scope;
    this.#indexes = place.buildKitIndexes;
    this.#newId = newId;
  }

  async get(name: ObjectName, offsetBytes: number, signal: AbortSignal): Promise<Readable | undefined> {
    const url = await this.#service.find(this.#prefix(name), KILN_VERSION, signal);
    if (url === undefined) return undefined;
    // The address is signed; storage refuses other credentials beside it.
    return this.#service.http.open({ method: "GET", url, headers: {} }, offsetBytes, signal);
  }

  async has(name: ObjectName, signal: AbortSignal): Promise<"no" | "yes"> {
    return (await this.#service.find(this.#prefix(name), KILN_VERSION, signal)) === undefined ? "no" : "yes";
  }

  async put(name: ObjectName, object: NewObject, signal: AbortSignal): Promise<void> {
    await this.#service.save(`${this.#prefix(name)}${this.#newId()}`, object, signal);
  }

  async hasBuildKitCache(signal: AbortSignal): Promise<boolean> {
    for (const index of this.#indexes) {
      if ((await this.#service.find(index, BUILDKIT_VERSION, signal)) !== undefined) return true;
    }
    return false;
  }

  /** Returns the beginning of an object's names. Blobs are shared by all scopes. */
  #prefix(name: ObjectName): string {
    if (name.kind === "blob") return `kiln-blob-1-${hexOf(name.digest)}#`;
    return `kiln-${this.#scope}-1-${name.kind === "cache" ? "cache" : name.name}#`;
  }
}
