import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Digest, hexOf } from "../../lib/core/digest.ts";
import { BuildError } from "../../lib/core/errors.ts";
import type { Descriptor } from "../../lib/core/oci.ts";
import { familiarReference, parseReference } from "../../lib/core/reference.ts";
import { type ArchiveEntry, writeArchive } from "../../lib/tar/archive.ts";
import { type Assembled, assemble, identityOf } from "./assemble.ts";
import { type Exporter, type OpenDestination, type ReadableBlob, withoutAttestations } from "./exporter.ts";
import type { LayerSources } from "./layers.ts";
import { type ImageOptions, namesOf } from "./output-spec.ts";
import { reportSubtask } from "./report.ts";
import { indexJson, LAYOUT_FILE, writeLayout } from "./layout-directory.ts";
import { writingInto } from "./make-destination.ts";

export type LayoutDestination =
  | { readonly form: "tar"; readonly open: OpenDestination }
  /** Made when missing; images that are there already stay. */
  | { readonly form: "directory"; readonly path: string };

/**
 * An OCI image layout, as a tar or a directory. `docker` adds the `manifest.json` that `docker load` reads.
 * OCI image-spec, image-layout.md; the tar is laid out as containerd's.
 */
export function layoutExporter(
  kind: "oci" | "docker",
  to: LayoutDestination,
  options: ImageOptions,
  on: LayerSources,
): Exporter {
  return {
    description: kind === "oci" ? "exporting to oci image format" : "exporting to docker image format",
    async export(result, progress, signal) {
      if (kind === "docker" && (result.images.length > 1 || result.multiPlatform)) {
        throw new BuildError(
          "export/unsupported",
          "docker exporter does not currently support exporting manifest lists",
          {
            hint: "choose one with --platform, or write an OCI archive (type=oci, or `kiln save --format oci`)",
          },
        );
      }
      const names = namesOf(options, result);
      const assembled = await assemble(kind === "docker" ? withoutAttestations(result) : result, options, on, signal);
      const blobs = blobsOf(assembled);
      for (const { config, manifest, attestations } of assembled.images) {
        reportSubtask(progress, `exporting manifest ${manifest.descriptor.digest}`);
        reportSubtask(progress, `exporting config ${config.descriptor.digest}`);
        if (attestations === undefined) continue;
        reportSubtask(progress, `exporting attestation manifest ${attestations.manifest.descriptor.digest}`);
      }
      const entries = rootEntries(assembled, names);
      if (to.form === "directory") {
        const layout = { directory: to.path, blobs, entries };
        await writingInto(to.path, () => writeLayout(layout, on.store.leases, signal));
      } else {
        const docker = kind === "docker" ? dockerManifest(assembled, names) : undefined;
        reportSubtask(progress, "sending tarball");
        const archive = writeArchive(archiveEntries(blobs, entries, docker, signal), {}, signal);
        await pipeline(archive, await to.open(signal), { signal });
      }
      return {
        ...identityOf(assembled),
        names,
      };
    },
  };
}

/** Every blob once, in order of digest. */
function blobsOf(assembled: Assembled): ReadableBlob[] {
  const blobs = new Map<Digest, ReadableBlob>();
  const documents = [
    ...(assembled.index === undefined ? [] : [assembled.index]),
    ...assembled.images.flatMap(({ config, manifest }) => [config, manifest]),
    ...assembled.images.flatMap(({ attestations: about }) =>
      about === undefined ? [] : [about.manifest, about.config, ...about.statements],
    ),
  ];
  for (const { bytes, descriptor } of documents) {
    blobs.set(descriptor.digest, { descriptor, open: () => Readable.from([bytes]) });
  }
  for (const { layers } of assembled.images) for (const layer of layers) blobs.set(layer.descriptor.digest, layer);
  return [...blobs.values()].toSorted((a, b) => (a.descriptor.digest < b.descriptor.digest ? -1 : 1));
}

/** What index.json lists: the root, once per name. */
function rootEntries(assembled: Assembled, names: readonly string[]): Descriptor[] {
  const created = assembled.images[0]?.image.config.created;
  const common = {
    ...assembled.root.annotations,
    ...(created === undefined ? {} : { "org.opencontainers.image.created": created.replace(/\.\d+Z$/, "Z") }),
  };
  const entry = (more: Readonly<Record<string, string>>): Descriptor => {
    const annotations = Object.entries({ ...common, ...more }).toSorted(([a], [b]) => (a < b ? -1 : 1));
    const { mediaType, digest, size } = assembled.root;
    return {
      mediaType,
      digest,
      size,
      ...(annotations.length === 0 ? {} : { annotations: Object.fromEntries(annotations) }),
    };
  };
  if (names.length === 0) return [entry({})];
  return names.map((name) => {
    const reference = parseReference(name);
    return entry({
      "io.containerd.image.name": name,
      "org.opencontainers.image.ref.name": reference.tag ?? name,
    });
  });
}

/** Docker's own list of the archive's images. */
function dockerManifest(assembled: Assembled, names: readonly string[]): string {
  const path = (digest: Digest): string => `blobs/sha256/${hexOf(digest)}`;
  return JSON.stringify(
    assembled.images.map((image) => ({
      Config: path(image.config.descriptor.digest),
      RepoTags: names.length === 0 ? null : names.map((name) => familiarReference(parseReference(name))),
      Layers: image.layers.map((layer) => path(layer.descriptor.digest)),
    })),
  );
}

function archiveEntries(
  blobs: readonly ReadableBlob[],
  entries: readonly Descriptor[],
  docker: string | undefined,
  signal: AbortSignal,
): ArchiveEntry[] {
  const small = (path: string, text: string): ArchiveEntry => {
    const content = Buffer.from(text);
    return { kind: "file", path, size: content.byteLength, content };
  };
  return [
    { kind: "directory", path: "blobs" },
    { kind: "directory", path: "blobs/sha256" },
    ...blobs.map((blob): ArchiveEntry => ({
      kind: "file",
      path: `blobs/sha256/${hexOf(blob.descriptor.digest)}`,
      size: blob.descriptor.size,
      // A generator opens the blob when its turn has come, not when the list is made.
      content: readBlob(blob, signal),
    })),
    small("index.json", indexJson(entries)),
    ...(docker === undefined ? [] : [small("manifest.json", docker)]),
    small("oci-layout", LAYOUT_FILE),
  ];
}

async function* readBlob(blob: ReadableBlob, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  yield* blob.open(signal) as AsyncIterable<Uint8Array>;
}
