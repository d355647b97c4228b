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
import type { Store } from "../../lib/store/store.ts";
import { type Assembled, assemble, identityOf } from "./assemble.ts";
import type { Document } from "./documents.ts";
import type { ExportProgress, Exporter } from "./exporter.ts";
import type { EarlyUploads } from "./early-uploads.ts";
import type { Layer, LayerSources } from "./layers.ts";
import { type ImageOutput, namesOf } from "./output-spec.ts";
import { reportBytes, reportSubtask } from "./report.ts";

/** Uploads at one time, over all layers of a push. */
const UPLOADS = 4;

/** A registry: layers in parallel, then the config, manifests, and the index last, so that no name points at nothing. */
export function registryExporter(
  { image: options, pushByDigest }: ImageOutput,
  on: LayerSources & {
    readonly client: () => Promise<RegistryClient>;
    /** Layers that are being sent already. */
    readonly early: EarlyUploads | undefined;
  },
): Exporter {
  return {
    description: "pushing to registry",
    async export(result, progress, signal) {
      const names = namesOf(options, result);
      const assembled = await assemble(result, options, on, signal);
      const client = await on.client();
      // Repositories of one registry share what the first of them received, by cross-repository mounts.
      for (const name of names) {
        const reference = parseReference(name);
        const root = pushByDigest ? assembled.root.digest : (reference.tag ?? "latest");
        await push({ reference, root }, assembled, { client, store: on.store, early: on.early }, progress, signal);
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

/** Pushes everything a name needs, and last what the name points to, under the tag or digest `root`. */
async function push(
  { reference, root }: { readonly reference: ImageRef; readonly root: string },
  assembled: Assembled,
  on: PushParts,
  progress: ExportProgress,
  signal: AbortSignal,
): Promise<void> {
  const uploads = new Map<string, Layer | Document>();
  for (const image of assembled.images) {
    const { statements = [], config } = image.attestations ?? {};
    for (const blob of [...image.layers, image.config, ...statements, ...(config === undefined ? [] : [config])]) {
      uploads.set(blob.descriptor.digest, blob);
    }
  }
  await mapLimit(uploads.values(), UPLOADS, signal, (blob, inner) => pushBlob(reference, blob, on, progress, inner));
  const pushManifest = async (document: Document, tag: string): Promise<void> => {
    const { mediaType } = document.descriptor;
    await on.client.pushManifest(reference, { reference: tag, mediaType, bytes: document.bytes }, signal);
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
  reportSubtask(progress, `pushing manifest for ${familiarReference(reference)}@${assembled.root.digest}`);
}

async function pushBlob(
  to: Repository,
  blob: Layer | Document,
  on: PushParts,
  progress: ExportProgress,
  signal: AbortSignal,
): Promise<void> {
  const { digest, size } = blob.descriptor;
  await using early = "diffId" in blob ? on.early?.take(blob.diffId, to) : undefined;
  if (await on.client.blobExists(to, digest, signal)) {
    debug("export", () => `${to.repository} has ${digest}`);
    return;
  }
  if ("repository" in blob && (await mounted(to, blob, on, signal))) {
    debug("export", () => `${to.repository} took ${digest} from another repository`);
    return;
  }
  const item = `pushing layer ${digest}`;
  const onProgress = (sent: number): void => reportBytes(progress, { item, current: sent, total: size, done: false });
  if ((await early?.finish(digest, onProgress, signal)) !== true) {
    const open = (inner: AbortSignal): Readable => ("bytes" in blob ? Readable.from([blob.bytes]) : blob.open(inner));
    await on.client.uploadBlob(to, { descriptor: { digest, size }, open, onProgress }, signal);
  }
  debug("export", () => `sent ${digest} to ${to.repository}`);
  reportBytes(progress, { item, current: size, total: size, done: true });
  // The next repository on this registry can have it from here.
  if ("diffId" in blob) {
    const { diffId, descriptor } = blob;
    on.store.snapshots.addLayerBlob({ diffId, descriptor, repository: formatRepository(to) });
  }
}

/** Another repository of the same registry that has the blob saves sending it. */
async function mounted(to: Repository, blob: Layer, on: PushParts, signal: AbortSignal): Promise<boolean> {
  for (const from of on.store.snapshots.repositoriesOf(blob.descriptor.digest)) {
    const { registry, repository } = parseRepository(from);
    if (registry !== to.registry || repository === to.repository) continue;
    if (await on.client.mountBlob(to, blob.descriptor.digest, repository, signal)) return true;
  }
  return false;
}
