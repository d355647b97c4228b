import { Readable } from "node:stream";
import { debug } from "../../lib/core/debug.ts";
import { mapLimit } from "../../lib/core/limits.ts";
import { type ImageRef, familiarReference, formatReference, parseReference } from "../../lib/core/reference.ts";
import {
  type RegistryClient,
  type Repository,
  formatRepository,
  parseRepository,
} from "../../lib/registry/registry.ts";
import { announceReferrers } from "../../lib/registry/listed-referrers.ts";
import type { Store } from "../../lib/store/store.ts";
import { type Assembled, assemble, identityOf } from "./assemble.ts";
import type { Document } from "./documents.ts";
import type { ExportProgress, Exporter } from "./exporter.ts";
import type { EarlyUpload, EarlyUploads } from "./early-uploads.ts";
import type { Layer, LayerSources } from "./layers.ts";
import { type ImageOutput, namesOf } from "./output-spec.ts";
import { reportBytes, reportSubtask } from "./report.ts";

/** Limit of concurrent uploads, over all layers of a push. */
const UPLOADS = 4;

/**
 * Makes an exporter to a registry: layers concurrently, then the config, manifests, and the index last, so that no name
 * points at a missing blob.
 */
export function registryExporter(
  { image: options, pushByDigest }: ImageOutput,
  deps: LayerSources & {
    readonly client: () => Promise<RegistryClient>;
    /** Layers with a running upload. */
    readonly early: EarlyUploads | undefined;
  },
): Exporter {
  return {
    description: "pushing to registry",
    async export(result, progress, signal) {
      const names = namesOf(options, result);
      const assembled = await assemble(result, options, deps, progress, signal);
      const client = await deps.client();
      // Repositories of one registry share the blobs of the first one by cross-repository mounts.
      for (const name of names) {
        const reference = parseReference(name);
        const root = pushByDigest ? assembled.root.digest : (reference.tag ?? "latest");
        await push({ reference, root }, assembled, { client, store: deps.store, early: deps.early }, progress, signal);
      }
      return {
        ...identityOf(assembled),
        names: pushByDigest
          ? names.map((name) =>
              formatReference({ ...parseReference(name), tag: undefined, digest: assembled.root.digest }),
            )
          : names,
      };
    },
  };
}

interface PushParts {
  readonly client: RegistryClient;
  readonly store: Store;
  readonly early: EarlyUploads | undefined;
}

/** Pushes everything that a name needs, and last the manifest or index itself, under the tag or digest `root`. */
async function push(
  { reference, root }: { readonly reference: ImageRef; readonly root: string },
  assembled: Assembled,
  deps: PushParts,
  progress: ExportProgress,
  signal: AbortSignal,
): Promise<void> {
  const uploads = new Map<string, Layer | Document>();
  for (const image of assembled.images) {
    const about = [...(image.attestations === undefined ? [] : [image.attestations]), ...image.referrers];
    const documents = about.flatMap(({ statements, config }) => [...statements, config]);
    for (const blob of [...image.layers, image.config, ...documents]) uploads.set(blob.descriptor.digest, blob);
  }
  await mapLimit(uploads.values(), UPLOADS, signal, (blob, inner) => pushBlob(reference, blob, deps, progress, inner));
  const pushManifest = async (document: Document, tag: string): Promise<void> => {
    const { mediaType } = document.descriptor;
    await deps.client.pushManifest(reference, { reference: tag, mediaType, bytes: document.bytes }, signal);
  };
  if (assembled.index === undefined) {
    const [image] = assembled.images;
    if (image === undefined) throw new Error("A result without images is pushed");
    await pushManifest(image.manifest, root);
  } else {
    const member = (document: Document): Promise<void> => pushManifest(document, document.descriptor.digest);
    await mapLimit(assembled.images, UPLOADS, signal, ({ manifest }) => member(manifest));
    const about = assembled.images.flatMap(({ attestations }) => attestations?.manifest ?? []);
    await mapLimit(about, UPLOADS, signal, member);
    await pushManifest(assembled.index, root);
  }
  await pushReferrers(reference, assembled, deps.client, signal);
  reportSubtask(progress, `pushing manifest for ${familiarReference(reference)}@${assembled.root.digest}`);
}

/** Pushes the artifacts that refer to the images, after these: a registry lists them by what they refer to. */
async function pushReferrers(
  repository: Repository,
  { images }: Assembled,
  client: RegistryClient,
  signal: AbortSignal,
): Promise<void> {
  for (const { manifest, referrers } of images) {
    if (referrers.length === 0) continue;
    for (const { bytes, descriptor } of referrers.map((referrer) => referrer.manifest)) {
      const { mediaType, digest } = descriptor;
      await client.pushManifest(repository, { reference: digest, mediaType, bytes }, signal);
    }
    const descriptors = referrers.map((referrer) => referrer.manifest.descriptor);
    await announceReferrers(client, repository, manifest.descriptor.digest, descriptors, signal);
  }
}

async function pushBlob(
  repository: Repository,
  blob: Layer | Document,
  deps: PushParts,
  progress: ExportProgress,
  signal: AbortSignal,
): Promise<void> {
  const { digest, size } = blob.descriptor;
  const item = `pushing layer ${digest}`;
  const report = (current: number, done: boolean): void => reportBytes(progress, { item, current, total: size, done });
  await using early = "diffId" in blob ? deps.early?.take(blob.diffId, repository) : undefined;
  const way = await sendBlob(repository, blob, { ...deps, early, onProgress: (sent) => report(sent, false) }, signal);
  if (way === "sent") report(size, true);
}

/** Sends a blob that the repository does not have, or has it mounted from another one of the registry. */
export async function sendBlob(
  repository: Repository,
  blob: Layer | Document,
  deps: Pick<PushParts, "client" | "store"> & {
    /** The upload that has begun already. */
    readonly early: EarlyUpload | undefined;
    readonly onProgress: (sentBytes: number) => void;
  },
  signal: AbortSignal,
): Promise<"exists" | "mounted" | "sent"> {
  const { digest, size } = blob.descriptor;
  const { early, onProgress } = deps;
  if (await deps.client.blobExists(repository, digest, signal)) {
    debug("export", () => `${repository.repository} has ${digest}`);
    return "exists";
  }
  if ("repository" in blob && (await mounted(repository, blob, deps, signal))) {
    debug("export", () => `${repository.repository} took ${digest} from another repository`);
    return "mounted";
  }
  if ((await early?.finish(digest, onProgress, signal)) !== true) {
    const open = (inner: AbortSignal): Readable => ("bytes" in blob ? Readable.from([blob.bytes]) : blob.open(inner));
    const { openAt } = "bytes" in blob ? {} : blob;
    const source = { descriptor: { digest, size }, open, onProgress, ...(openAt === undefined ? {} : { openAt }) };
    await deps.client.uploadBlob(repository, source, signal);
  }
  debug("export", () => `sent ${digest} to ${repository.repository}`);
  // The next repository on this registry can mount it from here.
  if ("diffId" in blob) {
    const { diffId, descriptor } = blob;
    deps.store.snapshots.addLayerBlob({ diffId, descriptor, repository: formatRepository(repository) });
  }
  return "sent";
}

/** Mounts a blob from another repository of the same registry, which saves sending it. */
async function mounted(
  target: Repository,
  blob: Layer,
  deps: Pick<PushParts, "client" | "store">,
  signal: AbortSignal,
): Promise<boolean> {
  for (const from of deps.store.snapshots.repositoriesOf(blob.descriptor.digest)) {
    const { registry, repository } = parseRepository(from);
    if (registry !== target.registry || repository === target.repository) continue;
    if (await deps.client.mountBlob(target, blob.descriptor.digest, repository, signal)) return true;
  }
  return false;
}
