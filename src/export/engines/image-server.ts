import { randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Assembled } from "../assemble.ts";
import type { ReadableBlob } from "../exporter.ts";

/** A registry that has one image, until it is disposed. */
export interface ImageServer extends AsyncDisposable {
  /** `127.0.0.1:40123/kiln/3f9c...:image` */
  readonly reference: string;
}

/** The tag of the image that is served. */
const TAG = "image";

/**
 * Serves an image on the loopback interface, by plain HTTP, which engines accept there. Other users of the machine cannot guess
 * the repository's name, and nothing else is served.
 */
export async function serveImage(assembled: Assembled, signal: AbortSignal): Promise<ImageServer> {
  const repository = `kiln/${randomBytes(16).toString("hex")}`;
  const content = contentOf(assembled);
  // Loaded late: Node's HTTP cannot be part of a startup snapshot.
  const { createServer } = await import("node:http");
  const server = createServer((request, response) => {
    // An engine that has gone away, or has what it wants, closes the connection in the middle.
    answer(request, response, { repository, content }, signal).catch(() => response.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    reference: `127.0.0.1:${port}/${repository}:${TAG}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

interface Content {
  readonly manifests: ReadonlyMap<string, ReadableBlob>;
  readonly blobs: ReadonlyMap<string, ReadableBlob>;
}

function contentOf({ images, index, root }: Assembled): Content {
  const manifests = new Map<string, ReadableBlob>();
  const blobs = new Map<string, ReadableBlob>();
  const documents = [...(index === undefined ? [] : [index]), ...images.map(({ manifest }) => manifest)];
  for (const { bytes, descriptor } of documents) {
    manifests.set(descriptor.digest, { descriptor, open: () => Readable.from([bytes]) });
  }
  for (const { config, layers } of images) {
    blobs.set(config.descriptor.digest, { descriptor: config.descriptor, open: () => Readable.from([config.bytes]) });
    for (const layer of layers) blobs.set(layer.descriptor.digest, layer);
  }
  const top = manifests.get(root.digest);
  if (top !== undefined) manifests.set(TAG, top);
  return { manifests, blobs };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { repository, content }: { readonly repository: string; readonly content: Content },
  signal: AbortSignal,
): Promise<void> {
  const { pathname } = new URL(request.url ?? "/", "http://localhost");
  response.setHeader("docker-distribution-api-version", "registry/2.0");
  if (pathname === "/v2/") return void response.writeHead(200).end();
  const [, kind, name = ""] = new RegExp(`^/v2/${repository}/(manifests|blobs)/([^/]+)$`).exec(pathname) ?? [];
  const found = kind === "manifests" ? content.manifests.get(name) : content.blobs.get(name);
  const isRead = request.method === "GET" || request.method === "HEAD";
  if (found === undefined || !isRead) return void response.writeHead(found === undefined ? 404 : 405).end();
  const { mediaType, digest, size } = found.descriptor;
  response.writeHead(200, {
    "content-type": kind === "manifests" ? mediaType : "application/octet-stream",
    "content-length": size,
    "docker-content-digest": digest,
  });
  if (request.method === "HEAD") return void response.end();
  await pipeline(found.open(signal), response, { signal });
}
