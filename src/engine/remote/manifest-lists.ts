import { BuildError } from "../../../lib/core/errors.ts";
import { isRecord, parseJson } from "../../../lib/core/json.ts";
import { parseManifestDocument } from "../../../lib/core/manifest.ts";
import { MEDIA_TYPES } from "../../../lib/core/oci.ts";
import { type ImageRef, formatReference, parseReference } from "../../../lib/core/reference.ts";
import type { Facts } from "../../../lib/store/store.ts";
import type { IndexMember } from "./make-index.ts";

const KIND = "manifest-list";

/** Unfinished manifest lists, kept in the store by name until they are pushed or removed. */
export interface ManifestLists {
  /** Finds a list; `undefined` when there is none of the name. */
  find(name: string): readonly IndexMember[] | undefined;
  keep(name: string, members: readonly IndexMember[]): void;
  remove(name: string): void;
}

export function manifestLists(facts: Facts): ManifestLists {
  return {
    find(name) {
      const fact = facts.get(KIND, name);
      return fact === undefined ? undefined : membersIn(new TextDecoder().decode(fact.value), name);
    },
    keep(name, members) {
      const manifests = members.map(({ descriptor }) => descriptor);
      const sources = members.map(({ source }) => formatReference(source));
      const json = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests, sources });
      facts.set(KIND, name, { value: new TextEncoder().encode(json) });
    },
    remove: (name) => facts.delete(KIND, name),
  };
}

/**
 * Reads a kept list with the checks of an index from a registry.
 * @throws {BuildError} `store/corrupt`
 */
function membersIn(text: string, name: string): readonly IndexMember[] {
  const damaged = (cause?: unknown): BuildError =>
    new BuildError("store/corrupt", `Cannot read the manifest list "${name}": the store's entry is damaged`, {
      hint: `remove it with kiln manifest rm ${name}, and create it again`,
      cause,
    });
  const json = parseJson(text);
  const sources = isRecord(json) ? json["sources"] : undefined;
  if (!Array.isArray(sources)) throw damaged();
  try {
    const document = parseManifestDocument(Buffer.from(text), MEDIA_TYPES.ociIndex, `"${name}"`);
    const { manifests } = document.kind === "index" ? document.index : { manifests: [] };
    return manifests.map((descriptor, index): IndexMember => {
      const source: ImageRef = parseReference(String(sources[index]));
      return { descriptor, source };
    });
  } catch (error) {
    throw damaged(error);
  }
}
