import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Digest, hexOf } from "../../lib/core/digest.ts";
import { BuildError } from "../../lib/core/errors.ts";
import type { Descriptor } from "../../lib/core/oci.ts";
import { familiarReference, parseReference } from "../../lib/core/reference.ts";
import { type ArchiveEntry, writeArchive } from "../../lib/tar/archive.ts";
import { type Assembled, assemble, identityOf } from "./assemble.ts";
import {
  type ExportProgress,
  type Exporter,
  type OpenDestination,
  type ReadableBlob,
  type Result,
  withoutAttestations,
} from "./exporter.ts";
import type { LayerSources } from "./layers.ts";
import { type ImageOptions, namesOf } from "./output-spec.ts";
import { reportSubtask } from "./report.ts";
import { indexJson, LAYOUT_FILE, writeLayout } from "./layout-directory.ts";
import { writingInto } from "./make-destination.ts";

export type LayoutDestination =
  | { readonly form: "tar"; readonly open: OpenDestination }
  /** Made when missing; existing images stay. */
  | { readonly form: "directory"; readonly path: string };

/**
 * Makes an exporter of OCI image layouts, as a tar or a directory. `docker` adds the `manifest.json` that `docker load`
 * reads. OCI image-spec, image-layout.md; the tar is laid out like containerd's.
 */
export function layoutExporter(
  kind: "oci" | "docker",
  destination: LayoutDestination,
  options: ImageOptions,
  deps: LayerSources,
): Exporter {
  const description = `exporting to ${kind} image format`;
  return {
    description,
    async export(result, progress, signal) {
      const part = await partOf(kind, result, { options, progress }, deps, signal);
      await writeParts({ kind, destination: destination, parts: [part] }, deps, progress, signal);
      return { ...identityOf(part.assembled), names: part.names };
    },
  };
}

/** One result of a layout, ready to be written. */
interface Part {
  readonly assembled: Assembled;
  readonly names: readonly string[];
}

/** Writes several images into one layout, like `docker save A B`. Shared blobs are in it once. */
export async function exportLayout(
  results: readonly Result[],
  {
    kind,
    destination: to,
    options,
  }: { readonly kind: "oci" | "docker"; readonly destination: LayoutDestination; readonly options: ImageOptions },
  deps: LayerSources,
  progress: ExportProgress,
  signal: AbortSignal,
): Promise<void> {
  const parts: Part[] = [];
  for (const result of results) parts.push(await partOf(kind, result, { options, progress }, deps, signal));
  await writeParts({ kind, destination: to, parts: merged(parts) }, deps, progress, signal);
}

/** Merges two names of one image into one entry with both, as engines expect. */
function merged(parts: readonly Part[]): readonly Part[] {
  const byDigest = new Map<Digest, Part>();
  for (const part of parts) {
    const { digest } = part.assembled.root;
    const names = [...(byDigest.get(digest)?.names ?? []), ...part.names];
    byDigest.set(digest, { ...part, names: [...new Set(names)] });
  }
  return [...byDigest.values()];
}

async function partOf(
  kind: "oci" | "docker",
  result: Result,
  { options, progress }: { readonly options: ImageOptions; readonly progress: ExportProgress },
  deps: LayerSources,
  signal: AbortSignal,
): Promise<Part> {
  if (kind === "docker" && (result.images.length > 1 || result.multiPlatform)) {
    throw new BuildError("export/unsupported", "docker exporter does not currently support exporting manifest lists", {
      hint: "choose one with --platform, or write an OCI archive (type=oci, or `kiln save --format oci`)",
    });
  }
  const assembled = await assemble(
    kind === "docker" ? withoutAttestations(result) : result,
    options,
    deps,
    progress,
    signal,
  );
  return { assembled, names: namesOf(options, result) };
}

async function writeParts(
  {
    kind,
    destination: to,
    parts,
  }: { readonly kind: "oci" | "docker"; readonly destination: LayoutDestination; readonly parts: readonly Part[] },
  deps: LayerSources,
  progress: ExportProgress,
  signal: AbortSignal,
): Promise<void> {
  for (const { config, manifest, attestations } of parts.flatMap(({ assembled }) => assembled.images)) {
    reportSubtask(progress, `exporting manifest ${manifest.descriptor.digest}`);
    reportSubtask(progress, `exporting config ${config.descriptor.digest}`);
    if (attestations === undefined) continue;
    reportSubtask(progress, `exporting attestation manifest ${attestations.manifest.descriptor.digest}`);
  }
  const blobs = blobsOf(parts.map(({ assembled }) => assembled));
  const entries = parts.flatMap(({ assembled, names }) => rootEntries(assembled, names));
  if (to.form === "directory") {
    const layout = { directory: to.path, blobs, entries };
    await writingInto(to.path, () => writeLayout(layout, deps.store.leases, signal));
    return;
  }
  const docker = kind === "docker" ? dockerManifest(parts) : undefined;
  reportSubtask(progress, "sending tarball");
  const archive = writeArchive(archiveEntries(blobs, entries, docker, signal), {}, signal);
  await pipeline(archive, await to.open(signal), { signal });
}

/** Lists every blob once, in order of digest. */
function blobsOf(assembled: readonly Assembled[]): ReadableBlob[] {
  const blobs = new Map<Digest, ReadableBlob>();
  const images = assembled.flatMap((one) => one.images);
  const documents = [
    ...assembled.flatMap(({ index }) => index ?? []),
    ...images.flatMap(({ config, manifest }) => [config, manifest]),
    ...images
      .flatMap(({ attestations, referrers }) => [attestations ?? [], referrers].flat())
      .flatMap(({ manifest, config, statements }) => [manifest, config, ...statements]),
  ];
  for (const { bytes, descriptor } of documents) {
    blobs.set(descriptor.digest, { descriptor, open: () => Readable.from([bytes]) });
  }
  for (const { layers } of images) for (const layer of layers) blobs.set(layer.descriptor.digest, layer);
  return [...blobs.values()].toSorted((a, b) => (a.descriptor.digest < b.descriptor.digest ? -1 : 1));
}

/** Makes the entries of index.json: the root, once per name, and what refers to its images. */
function rootEntries(assembled: Assembled, names: readonly string[]): Descriptor[] {
  const referrers = assembled.images.flatMap((image) => image.referrers.map(({ manifest }) => manifest.descriptor));
  return [...namedEntries(assembled, names), ...referrers];
}

function namedEntries(assembled: Assembled, names: readonly string[]): Descriptor[] {
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

/** Writes Docker's own list of the archive's images. */
function dockerManifest(parts: readonly Part[]): string {
  const path = (digest: Digest): string => `blobs/sha256/${hexOf(digest)}`;
  return JSON.stringify(
    parts.flatMap(({ assembled, names }) =>
      assembled.images.map((image) => ({
        Config: path(image.config.descriptor.digest),
        RepoTags: names.length === 0 ? null : names.map((name) => familiarReference(parseReference(name))),
        Layers: image.layers.map((layer) => path(layer.descriptor.digest)),
      })),
    ),
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
      // A generator opens the blob in its turn, not when the list is made.
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
