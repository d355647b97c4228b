import { BuildError } from "../../lib/core/errors.ts";
import type { Digest } from "../../lib/core/digest.ts";
import { isRecord } from "../../lib/core/json.ts";
import { parsePlatform } from "../../lib/core/platform.ts";
import { familiarReference, formatReference, parseReference } from "../../lib/core/reference.ts";
import type { ImageSummary } from "../../lib/store/store.ts";
import { Engine } from "../engine/engine.ts";
import { createdMs } from "../engine/images/created.ts";
import { imageFilter, type NamedImage } from "../engine/images/image-filters.ts";
import { imageSize, layerSizes } from "../engine/images/image-size.ts";
import { type ImageView, summaryOf, viewImage } from "../engine/images/image-summary.ts";
import { removeImage } from "../engine/images/remove-images.ts";
import { badRequest, type Call, isSet, jsonIn, sendJson, unsupported } from "./call.ts";

/** `GET /images/json`: one entry for each image id, newest first. Base images of builds have no name, as in `kiln images`. */
export async function listImages({ server, query, response }: Call): Promise<void> {
  const filters = filterTexts(query);
  await using engine = openQuietly(server.environment);
  const { store } = engine;
  const { passes, isAboutUnnamed } = await imageFilter(undefined, filters, store);
  const rows = new Map<Digest, { readonly image: ImageSummary; readonly names: string[] }>();
  for (const image of store.images.list()) {
    const names = image.names.map((name) => parseReference(name));
    const isShownUnnamed = names.length === 0 && (isSet(query, "all") || isAboutUnnamed);
    const all: NamedImage[] = [...(isShownUnnamed ? [undefined] : []), ...names].map((name) => ({ image, name }));
    const shown = all.filter(passes);
    if (shown.length === 0) continue;
    // An image that was pulled and built has two manifests, and is one image to a client.
    const id = image.configDigest ?? image.digest;
    const row = rows.get(id) ?? { image, names: [] };
    rows.set(id, row);
    for (const { name } of shown) if (name !== undefined) row.names.push(familiarReference(name));
  }
  const list = [...rows].map(([id, { image, names }]) => {
    const config = store.images.get(image.digest)?.config.config;
    return {
      Id: id,
      ParentId: "",
      RepoTags: [...new Set(names)],
      RepoDigests: [...new Set(names.map((name) => repositoryOf(name)))].map((name) => `${name}@${image.digest}`),
      Created: Math.floor((createdMs(image, store) ?? 0) / 1000),
      Size: imageSize(image, store),
      SharedSize: -1,
      Containers: -1,
      Labels: config?.Labels ?? null,
    };
  });
  sendJson(
    response,
    200,
    list.toSorted((a, b) => b.Created - a.Created),
  );
}

/** `GET /images/NAME/json`. */
export async function inspectImage(call: Call): Promise<void> {
  await using engine = openQuietly(call.server.environment);
  const {
    Snapshots: _snapshots,
    Layers: _layers,
    ManifestDigest: _digest,
    ...facts
  } = summaryOf(engine.store, view(call, engine));
  const isMissing = facts.Created === undefined;
  sendJson(call.response, 200, {
    ...facts,
    ...(isMissing ? { Created: "0001-01-01T00:00:00Z" } : {}),
    GraphDriver: { Name: "kiln", Data: null },
    Metadata: { LastTagTime: "0001-01-01T00:00:00Z" },
  });
}

/** `GET /images/NAME/history`: newest first. */
export async function imageHistory(call: Call): Promise<void> {
  await using engine = openQuietly(call.server.environment);
  const { store } = engine;
  const { image } = view(call, engine);
  const sizes = layerSizes(image, store);
  let layer = 0;
  const entries = image.config.history.map(({ created, created_by: text, comment, empty_layer: isEmpty }) => ({
    Id: "<missing>",
    Created: Math.floor((Date.parse(created ?? "") || 0) / 1000),
    CreatedBy: text ?? "",
    Tags: null,
    Size: isEmpty === true ? 0 : (sizes[layer++] ?? 0),
    Comment: comment ?? "",
  }));
  const tags = store.refs.namesOf(image.manifestDigest).map((name) => familiarReference(parseReference(name)));
  const newest = entries
    .toReversed()
    .map((entry, index) =>
      index === 0 ? { ...entry, Id: image.configDigest, Tags: tags.length === 0 ? null : tags } : entry,
    );
  sendJson(call.response, 200, newest);
}

/** `POST /images/NAME/tag?repo=&tag=`. */
export async function tagImage({ server, params, query, response }: Call): Promise<void> {
  const [source = ""] = params;
  const repository = query.get("repo") ?? "";
  if (repository === "") throw badRequest("Cannot tag an image: the parameter repo is missing");
  const tag = query.get("tag") ?? "";
  const reference = parseReference(tag === "" ? repository : `${repository}:${tag}`);
  if (reference.digest !== undefined) throw badRequest("refusing to create a tag with a digest reference");
  await using engine = openQuietly(server.environment);
  const { store } = engine;
  const found = store.images.find(source);
  const digest = found.kind === "image" ? found.image.manifestDigest : found.digest;
  const { mediaType } = found.kind === "image" ? found.image.manifest : found.index;
  store.refs.set(formatReference(reference), { mediaType, digest, size: store.blobs.sizeOf(digest) ?? 0 });
  response.writeHead(201).end();
}

/** `DELETE /images/NAME?force=`. */
export async function deleteImage({ server, params, query, response }: Call): Promise<void> {
  await using engine = openQuietly(server.environment);
  const { untagged, deleted } = removeImage(engine.store, params[0] ?? "", isSet(query, "force") ? "forced" : "asked");
  const words = [...untagged.map((name) => ({ Untagged: name })), ...deleted.map((digest) => ({ Deleted: digest }))];
  sendJson(response, 200, words);
}

/** `POST /images/prune`: images without a name. */
export async function pruneImages({ server, query, response, signal }: Call): Promise<void> {
  if (filterTexts(query).some((text) => text !== "dangling=true" && text !== "dangling=1"))
    throw unsupported("Cannot prune images that have a name", "remove them by their names; kiln prune frees the space");
  const { prune } = await import("../../lib/store/prune.ts");
  await using engine = openQuietly(server.environment);
  const kinds = new Set(["image"] as const);
  const { victims, freedBytes } = await prune(engine.store, { keepBytes: 0, kinds }, signal);
  const deleted = victims.flatMap((victim) => (victim.kind === "image" ? [{ Deleted: victim.digest }] : []));
  sendJson(response, 200, { ImagesDeleted: deleted, SpaceReclaimed: freedBytes });
}

/** `POST /build/prune`: cached steps and what only they need. */
export async function pruneBuilds({ server, query, response, signal }: Call): Promise<void> {
  const { prune } = await import("../../lib/store/prune.ts");
  const keepBytes = Number(query.get("keep-storage") ?? query.get("reserved-space") ?? 0) || 0;
  await using engine = openQuietly(server.environment);
  const { victims, freedBytes } = await prune(engine.store, { keepBytes, all: isSet(query, "all") }, signal);
  const deleted = victims.flatMap((victim) => (victim.kind === "layer" ? [victim.snapshot] : []));
  sendJson(response, 200, { CachesDeleted: deleted, SpaceReclaimed: freedBytes });
}

export function openQuietly(environment: Call["server"]["environment"]): Engine {
  return new Engine(environment, { progress: () => {} });
}

/** Finds the image of the path, for the platform of the query where there is one. */
function view({ server, params, query }: Call, { store }: Engine): ImageView {
  const text = platformText(query);
  const { platform } = server.environment;
  const wanted = text === undefined ? platform : parsePlatform(text, platform);
  return viewImage(store, params[0] ?? "", { platform: wanted, isRequired: text !== undefined });
}

/** Reads a platform: JSON with `os` and `architecture` in new versions of the API, `os/architecture` in old ones. */
export function platformText(query: URLSearchParams): string | undefined {
  const text = query.get("platform") ?? "";
  if (text === "") return undefined;
  if (!text.startsWith("{")) return text;
  const value = jsonIn(text, "the parameter platform");
  const { os, architecture, variant } = isRecord(value) ? value : {};
  if (typeof os !== "string" || typeof architecture !== "string")
    throw badRequest("Cannot read the parameter platform");
  return [os, architecture, ...(typeof variant === "string" && variant !== "" ? [variant] : [])].join("/");
}

/** Reads `filters`, `{"reference": ["a", "b"]}` or `{"reference": {"a": true}}`, as texts `reference=a`. */
export function filterTexts(query: URLSearchParams): readonly string[] {
  const text = query.get("filters") ?? "";
  const filters = text === "" ? {} : jsonIn(text, "the parameter filters");
  if (!isRecord(filters)) throw new BuildError("serve/request", "Cannot read the parameter filters: it is no object");
  // docker-py gives the name of the list's only filter beside it, in an old form.
  const old = query.get("filter") ?? "";
  return [
    ...(old === "" ? [] : [`reference=${old}`]),
    ...Object.entries(filters).flatMap(([name, values]) => {
      const list: readonly unknown[] = Array.isArray(values)
        ? values
        : isRecord(values)
          ? Object.keys(values)
          : [values];
      return list.map((value) => `${name}=${String(value)}`);
    }),
  ];
}

function repositoryOf(name: string): string {
  return familiarReference({ ...parseReference(name), tag: undefined, digest: undefined });
}
