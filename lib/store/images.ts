import { type Digest, digestOf, isDigest } from "../core/digest.ts";
import { BuildError } from "../core/errors.ts";
import { MAX_CONFIG_BYTES, parseImageConfig } from "../core/image-config.ts";
import { MAX_MANIFEST_BYTES, parseManifestDocument } from "../core/manifest.ts";
import type { Descriptor, Index } from "../core/oci.ts";
import { formatReference, parseReference } from "../core/reference.ts";
import { DIGEST, list } from "../core/shape.ts";
import { digestIn, jsonIn, numberOf, optionalDigest, textOf } from "./columns.ts";
import type { Database, Row } from "./database.ts";
import type { Hold, Holds } from "./holds.ts";
import type { StoredImage } from "./model.ts";
import { setRef } from "./refs.ts";
import { snapshotIdShape } from "./snapshot-id.ts";
import { insertLayerBlobs, insertSnapshots } from "./snapshots.ts";
import type { Blobs, FoundImage, ImageParts, ImageSummary, Images } from "./store.ts";
import type { Touches } from "./touches.ts";

const SNAPSHOTS = list(snapshotIdShape);
const MANIFESTS = list(DIGEST);

export function openImages(deps: {
  readonly database: Database;
  readonly holds: Holds;
  readonly blobs: Blobs;
  readonly touches: Touches;
  readonly nowMs: () => number;
}): Images {
  return new StoredImages(deps);
}

/** A row of an image or an index. */
interface NewImageRow {
  readonly digest: Digest;
  readonly kind: "image" | "index";
  readonly mediaType: string;
  readonly config: Digest | undefined;
  /** Ids of layers, or digests of an index's manifests. */
  readonly members: readonly string[];
}

class StoredImages implements Images {
  readonly #database: Database;
  readonly #holds: Holds;
  readonly #blobs: Blobs;
  readonly #touches: Touches;
  readonly #nowMs: () => number;

  constructor(deps: Parameters<typeof openImages>[0]) {
    this.#database = deps.database;
    this.#holds = deps.holds;
    this.#blobs = deps.blobs;
    this.#touches = deps.touches;
    this.#nowMs = deps.nowMs;
  }

  put(parts: ImageParts): StoredImage {
    const manifestBytes = Buffer.from(parts.manifest);
    const document = parseManifestDocument(manifestBytes, parts.mediaType, "the image to keep");
    if (document.kind !== "manifest") throw new Error("Images.put with an index");
    const configBytes = Buffer.from(parts.config);
    const config = parseImageConfig(configBytes, "the image to keep");
    if (document.manifest.config.digest !== digestOf(configBytes)) {
      throw new BuildError("digest/mismatch", "Cannot keep an image: its manifest names another configuration");
    }
    if (config.rootfs.diff_ids.length !== parts.layers.length) {
      throw new BuildError(
        "image/config",
        `Cannot keep an image: ${config.rootfs.diff_ids.length} diffIDs for ${parts.layers.length} layers`,
      );
    }
    this.#blobs.put(configBytes);
    const manifest = this.#blobs.put(manifestBytes);
    const image: StoredImage = {
      manifestDigest: manifest.digest,
      manifest: document.manifest,
      configDigest: document.manifest.config.digest,
      config,
      layers: parts.layers,
    };
    this.#holds.add(holdsOf(image));
    const now = this.#nowMs();
    this.#database.transaction(() => {
      insertSnapshots(this.#database, parts.newSnapshots ?? [], now);
      insertLayerBlobs(this.#database, parts.layerBlobs ?? [], now);
      const { mediaType } = document.manifest;
      const { digest } = manifest;
      this.#insert({ digest, kind: "image", mediaType, config: image.configDigest, members: image.layers }, now);
      const target: Descriptor = { mediaType, ...manifest };
      for (const name of parts.names) setRef(this.#database, name, target, now);
    });
    return image;
  }

  putIndex({ bytes, names }: { readonly bytes: Uint8Array | string; readonly names: readonly string[] }): Descriptor {
    const index = indexIn(Buffer.from(bytes), "the index to keep");
    const target: Descriptor = { mediaType: index.mediaType, ...this.#blobs.put(bytes) };
    this.#holds.add([`image:${target.digest}`]);
    const now = this.#nowMs();
    this.#database.transaction(() => {
      const members = index.manifests.map(({ digest }) => digest);
      const { digest, mediaType } = target;
      this.#insert({ digest, kind: "index", mediaType, config: undefined, members }, now);
      for (const name of names) setRef(this.#database, name, target, now);
    });
    return target;
  }

  get(manifest: Digest): StoredImage | undefined {
    const row = this.#row(manifest, "image");
    if (row === undefined) return undefined;
    const configDigest = digestIn(row["config_digest"]);
    const where = `image "${manifest}"`;
    const manifestBytes = this.#document(manifest, MAX_MANIFEST_BYTES, where);
    const document = parseManifestDocument(manifestBytes, textOf(row["media_type"]), where);
    if (document.kind !== "manifest") throw new Error(`The row of ${where} says it is a manifest, and it is an index`);
    return {
      manifestDigest: manifest,
      manifest: document.manifest,
      configDigest,
      config: parseImageConfig(this.#document(configDigest, MAX_CONFIG_BYTES, where), where),
      layers: jsonIn(row, "members", SNAPSHOTS),
    };
  }

  getIndex(digest: Digest): Index | undefined {
    if (this.#row(digest, "index") === undefined) return undefined;
    const where = `index "${digest}"`;
    return indexIn(this.#document(digest, MAX_MANIFEST_BYTES, where), where);
  }

  manifestOfConfig(config: Digest): Digest | undefined {
    const row = this.#database.get(
      "SELECT digest FROM images WHERE config_digest = ? ORDER BY created_ms DESC, digest LIMIT 1",
      config,
    );
    return row === undefined ? undefined : digestIn(row["digest"]);
  }

  find(text: string): FoundImage {
    const found = this.#findName(text) ?? this.#findDigest(text);
    if (found === undefined) {
      throw new BuildError("image/not-found", `Cannot find image ${JSON.stringify(text)} in the store`, {
        hint: 'see what there is with "kiln images", or fetch it with "kiln pull"',
      });
    }
    return found;
  }

  list(): readonly ImageSummary[] {
    const names = new Map<string, string[]>();
    for (const row of this.#database.all("SELECT name, digest FROM refs ORDER BY name")) {
      const digest = textOf(row["digest"]);
      names.set(digest, [...(names.get(digest) ?? []), textOf(row["name"])]);
    }
    return this.#database.all("SELECT * FROM images ORDER BY created_ms DESC, digest").map((row) => {
      const kind = row["kind"] === "index" ? "index" : "image";
      const digest = digestIn(row["digest"]);
      return {
        kind,
        digest,
        configDigest: optionalDigest(row["config_digest"]),
        names: names.get(digest) ?? [],
        layers: kind === "image" ? jsonIn(row, "members", SNAPSHOTS) : [],
        manifests: kind === "index" ? jsonIn(row, "members", MANIFESTS) : [],
        createdAtMs: numberOf(row["created_ms"]),
        lastUsedMs: numberOf(row["last_used_ms"]),
      };
    });
  }

  touch(digest: Digest): void {
    this.#touches.touch(digest);
  }

  delete(digest: Digest): boolean {
    return this.#database.transaction(() => {
      this.#database.run("DELETE FROM refs WHERE digest = ?", digest);
      return this.#database.run("DELETE FROM images WHERE digest = ?", digest) > 0;
    });
  }

  #insert({ digest, kind, mediaType, config, members }: NewImageRow, now: number): void {
    // The same image again, perhaps after its layers were collected and made anew under other ids.
    this.#database.run(
      `INSERT INTO images (digest, kind, media_type, config_digest, members, created_ms, last_used_ms)
       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
       ON CONFLICT (digest) DO UPDATE SET members = excluded.members, last_used_ms = excluded.last_used_ms`,
      digest,
      kind,
      mediaType,
      config ?? null,
      JSON.stringify(members),
      now,
    );
    this.#touches.saw(digest, now);
  }

  #row(digest: Digest, kind: "image" | "index"): Row | undefined {
    return this.#holds.keep(
      () => {
        const row = this.#database.get("SELECT * FROM images WHERE digest = ? AND kind = ?", digest, kind);
        if (row !== undefined) this.#touches.saw(digest, numberOf(row["last_used_ms"]));
        return row;
      },
      (row): Hold[] => {
        if (row === undefined) return [];
        const members = kind === "image" ? jsonIn(row, "members", SNAPSHOTS) : [];
        return [`image:${digest}`, ...members.map((id) => `snapshot:${id}` as const)];
      },
    );
  }

  #document(digest: Digest, maxBytes: number, where: string): Buffer {
    const bytes = this.#blobs.readBytes(digest, maxBytes);
    if (bytes !== undefined) return bytes;
    throw new BuildError("store/corrupt", `Cannot read ${where}: blob "${digest}" is missing`, {
      hint: 'run "kiln fsck --repair", then pull or build the image again',
    });
  }

  #findName(text: string): FoundImage | undefined {
    const isName = !/^(?:sha256:)?[0-9a-f]{64}$/.test(text);
    let name: string;
    try {
      name = formatReference(parseReference(text));
    } catch (error) {
      // `@sha256:...` and the like: not a name, and not a prefix of a digest either. Any other text may still be a
      // prefix.
      if (!(error instanceof BuildError) || (isName && !/^[0-9a-f]{1,64}$/.test(text))) throw error;
      return undefined;
    }
    const row = this.#database.get("SELECT name, digest FROM refs WHERE name = ?", name);
    if (row !== undefined) return this.#found(digestIn(row["digest"]), name);
    // `app@sha256:...`: the digest alone decides; the name only tells the origin.
    const { digest } = parseReference(text);
    return digest === undefined || !text.includes("@") ? undefined : this.#found(digest, undefined);
  }

  #findDigest(text: string): FoundImage | undefined {
    if (isDigest(text)) {
      const byConfig = this.manifestOfConfig(text);
      return this.#found(text, undefined) ?? (byConfig === undefined ? undefined : this.#found(byConfig, undefined));
    }
    const prefix = `sha256:${text.replace(/^sha256:/, "")}`;
    if (!/^sha256:[0-9a-f]{2,64}$/.test(prefix)) return undefined;
    const rows = this.#database.all(
      `SELECT digest, config_digest FROM images WHERE digest BETWEEN ?1 AND ?2 OR config_digest BETWEEN ?1 AND ?2
       ORDER BY created_ms DESC, digest`,
      prefix,
      `${prefix}g`,
    );
    // One configuration may be kept under several manifests (compressed and not); to a user that is one image.
    const distinct = new Set(rows.map((row) => row["config_digest"] ?? row["digest"]));
    if (distinct.size > 1) {
      throw new BuildError(
        "image/not-found",
        `Cannot find image ${JSON.stringify(text)}: ${distinct.size} images begin so`,
        {
          hint: "write more digits of the image's id",
        },
      );
    }
    const [first] = rows;
    return first === undefined ? undefined : this.#found(digestIn(first["digest"]), undefined);
  }

  #found(digest: Digest, name: string | undefined): FoundImage | undefined {
    const image = this.get(digest);
    if (image !== undefined) return { kind: "image", name, image };
    const index = this.getIndex(digest);
    return index === undefined ? undefined : { kind: "index", name, digest, index };
  }
}

function indexIn(bytes: Uint8Array, where: string): Index {
  const document = parseManifestDocument(bytes, "", where);
  if (document.kind !== "index") throw new BuildError("registry/malformed", `Cannot read ${where}: it is not an index`);
  return document.index;
}

function holdsOf(image: StoredImage): Hold[] {
  return [
    `image:${image.manifestDigest}`,
    `blob:${image.manifestDigest}`,
    `blob:${image.configDigest}`,
    ...image.layers.map((id) => `snapshot:${id}` as const),
  ];
}
