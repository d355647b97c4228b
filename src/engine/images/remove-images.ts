import type { Digest } from "../../../lib/core/digest.ts";
import { BuildError } from "../../../lib/core/errors.ts";
import { familiarReference, formatReference, parseReference } from "../../../lib/core/reference.ts";
import type { FoundImage, Store } from "../../../lib/store/store.ts";

/** The steps of removing an image, in order. */
export interface Removed {
  readonly untagged: readonly string[];
  readonly deleted: readonly Digest[];
}

/**
 * Removes a name, and the image with its last name; or an image by its id, with all its names when these are of one
 * repository.
 * @param how `forced`: with all its names in any repository, even if an index lists it
 * @throws {BuildError} `image/not-found`, `image/in-use`
 */
export function removeImage(store: Store, text: string, how: "asked" | "forced"): Removed {
  const named = referenceOf(text);
  const ref = named === undefined ? undefined : store.refs.get(named);
  if (ref !== undefined && named !== undefined) {
    store.refs.delete(named);
    const untagged = [shown(named)];
    if (store.refs.namesOf(ref.target.digest).length > 0) return { untagged, deleted: [] };
    return { untagged, deleted: deleteUnnamed(store, ref.target.digest) };
  }
  const targets = withSameId(store, store.images.find(text));
  const names = targets.flatMap((digest) => store.refs.namesOf(digest));
  const indexes = indexesWith(store, targets);
  if (how === "asked") refuseUsed(store, text, names, indexes);
  const all = [...indexes, ...targets];
  const untagged = all.flatMap((digest) => store.refs.namesOf(digest)).map(shown);
  return { untagged, deleted: all.flatMap((digest) => deleteUnnamed(store, digest)) };
}

/** Finds all manifests of a configuration (compressed and not); to a user they are one image. */
function withSameId(store: Store, found: FoundImage): readonly Digest[] {
  if (found.kind === "index") return [found.digest];
  const { configDigest, manifestDigest } = found.image;
  const same = store.images.list().filter((image) => image.configDigest === configDigest);
  return [...new Set([manifestDigest, ...same.map(({ digest }) => digest)])];
}

/** Finds named indexes that list one of the images. */
function indexesWith(store: Store, targets: readonly Digest[]): readonly Digest[] {
  const indexes = store.images.list().filter(({ kind, names }) => kind === "index" && names.length > 0);
  return indexes
    .filter(({ manifests }) => manifests.some((digest) => targets.includes(digest)))
    .map(({ digest }) => digest);
}

function refuseUsed(store: Store, text: string, names: readonly string[], indexes: readonly Digest[]): void {
  const lists = indexes.flatMap((digest) => store.refs.namesOf(digest)).map(shown);
  if (lists.length > 0) {
    throw new BuildError("image/in-use", `Cannot remove ${JSON.stringify(text)}: ${quoted(lists)} lists it`, {
      hint: `remove that by its name, or everything with --force`,
    });
  }
  const repositories = new Set(names.map((name) => formatReference({ ...parseReference(name), tag: undefined })));
  if (repositories.size < 2) return;
  throw new BuildError(
    "image/in-use",
    `Cannot remove ${JSON.stringify(text)}: it has names in ${repositories.size} repositories: ${quoted(names.map(shown))}`,
    { hint: "remove the names one by one, or all of them with --force" },
  );
}

/** Deletes an image or index, and with an index its images without another reference. */
function deleteUnnamed(store: Store, digest: Digest): Digest[] {
  const members = store.images.getIndex(digest)?.manifests.map((member) => member.digest) ?? [];
  const deleted = store.images.delete(digest) ? [digest] : [];
  if (members.length === 0) return deleted;
  const left = store.images.list();
  const listed = new Set(left.flatMap(({ manifests }) => manifests));
  const alone = left.filter((image) => members.includes(image.digest) && image.names.length === 0);
  const orphans = alone.filter((image) => !listed.has(image.digest)).map((image) => image.digest);
  return [...deleted, ...orphans.filter((member) => store.images.delete(member))];
}

function shown(name: string): string {
  return familiarReference(parseReference(name));
}

function quoted(names: readonly string[]): string {
  return names.map((name) => JSON.stringify(name)).join(", ");
}

/** Parses a reference; `undefined` for a text that is no image name, such as an id with its prefix. */
function referenceOf(text: string): string | undefined {
  try {
    return formatReference(parseReference(text));
  } catch {
    return undefined;
  }
}
