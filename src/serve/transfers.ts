import type { ServerResponse } from "node:http";
import { isDigest } from "../../lib/core/digest.ts";
import { parsePlatform } from "../../lib/core/platform.ts";
import type { ProgressSink } from "../../lib/core/progress.ts";
import { familiarReference, formatReference, type ImageRef, parseReference } from "../../lib/core/reference.ts";
import type { BuildEnvironment } from "../engine/environment.ts";
import { Engine } from "../engine/engine.ts";
import { exportStored } from "../engine/images/export-stored.ts";
import { pullImage } from "../engine/images/pull-image.ts";
import { parseOutput } from "../export/parse-output.ts";
import { withAccounts } from "./accounts.ts";
import { badRequest, bodyOf, type Call, unsupported } from "./call.ts";
import { transferred } from "./classic-stream.ts";
import { openQuietly, platformText } from "./images.ts";
import type { MessageStream } from "./message-stream.ts";

/** `POST /images/create`: pulls `fromImage`, or imports the archive of the body as a root file system. */
export async function createImage(call: Call): Promise<void> {
  const { query } = call;
  const name = query.get("fromImage") ?? "";
  if (name !== "") await pull(call, name);
  else if (query.get("fromSrc") === "-") await importBody(call);
  else if ((query.get("fromSrc") ?? "") !== "")
    throw unsupported("Cannot import from a URL", "send the archive in the body, with fromSrc=-");
  else throw badRequest("Cannot create an image: neither fromImage nor fromSrc is given");
}

async function pull({ server, query, request, messages, signal }: Call, name: string): Promise<void> {
  const tag = query.get("tag") ?? "";
  const reference = parseReference(withTag(name, tag));
  const { registry } = reference;
  const environment = withAccounts(server.environment, request.headers, registry);
  const platform = platformOf(query, environment) ?? environment.platform;
  const progress = layersTo(messages, PULLING);
  await using engine = new Engine(environment, { progress });
  const shown = familiarReference(reference);
  const before = engine.store.refs.get(formatReference(reference))?.target.digest;
  const { tag: named, repository } = reference;
  const found = (): void => messages.send({ status: `Pulling from ${repository}`, id: named ?? reference.digest });
  const image = await pullImage(engine, { reference, platform, isStep: false, found }, progress, signal);
  messages.send({ status: `Digest: ${image.manifest}` });
  const isSame = engine.store.refs.get(formatReference(reference))?.target.digest === before;
  messages.send({ status: `Status: ${isSame ? "Image is up to date" : "Downloaded newer image"} for ${shown}` });
  messages.end();
}

/** Adds the parameter `tag`, which may be a digest, to a name that may have one. */
function withTag(name: string, tag: string): string {
  if (tag === "") return name;
  return isDigest(tag) ? `${name}@${tag}` : familiarReference({ ...parseReference(name), tag });
}

async function importBody({ server, query, request, messages, signal }: Call): Promise<void> {
  const { importImage } = await import("../engine/images/import-image.ts");
  const body = bodyOf(request);
  const environment = { ...server.environment, stdin: () => body };
  await using engine = openQuietly(environment);
  const repository = query.get("repo") ?? "";
  const options = {
    source: "-",
    tags: repository === "" ? [] : [withTag(repository, query.get("tag") ?? "")],
    changes: query.getAll("changes"),
    message: query.get("message") || "Imported from -",
    platform: platformOf(query, environment) ?? environment.platform,
  };
  try {
    const { configDigest } = await importImage(engine, options, signal);
    messages.send({ status: configDigest });
    messages.end();
  } finally {
    body.destroy();
  }
}

/** `POST /images/NAME/push?tag=`: one tag, or without one all tags of the repository. */
export async function pushImage({ server, params, query, request, messages, signal }: Call): Promise<void> {
  const [name = ""] = params;
  const tag = query.get("tag") ?? "";
  const reference = parseReference(withTag(name, tag));
  const environment = withAccounts(server.environment, request.headers, reference.registry);
  await using engine = new Engine(environment, { progress: () => {} });
  const isAll = tag === "" && !/:[^/]+$/.test(name);
  const references = isAll ? tagsOf(engine, reference) : [reference];
  messages.send({ status: `The push refers to repository [${reference.registry}/${reference.repository}]` });
  const platform = platformOf(query, environment);
  for (const one of references) {
    const image = formatReference(one);
    const output = parseOutput(new Map([...PUSH, ["name", image]]));
    const request_ = { image, platform, output, progress: layersTo(messages, PUSHING) };
    const { manifest } = (await exportStored(engine, request_, signal)) ?? {};
    if (manifest === undefined) throw new Error("a push without a manifest");
    messages.send({ status: `${one.tag}: digest: ${manifest.digest} size: ${manifest.size}` });
    messages.send({ progressDetail: {}, aux: { Tag: one.tag, Digest: manifest.digest, Size: manifest.size } });
  }
  messages.end();
}

const PUSH = [
  ["type", "registry"],
  ["store", "false"],
  ["compression", "gzip"],
] as const;

function tagsOf({ store }: Engine, { registry, repository, ...asked }: ImageRef): readonly ImageRef[] {
  const named = store.refs.list().map((row) => parseReference(row.name));
  const tags = named.filter(
    (one) => one.registry === registry && one.repository === repository && one.tag !== undefined,
  );
  return tags.length === 0 ? [{ registry, repository, ...asked }] : tags;
}

/** `GET /images/get?names=` and `GET /images/NAME/get`: a tar as of `docker save`. */
export async function saveImagesToBody({ server, params, query, response, signal }: Call): Promise<void> {
  const named = params[0] === undefined ? query.getAll("names") : [params[0]];
  const images = named.filter((name) => name !== "");
  if (images.length === 0) throw badRequest("Cannot save images: none is named");
  const { saveImages } = await import("../engine/images/save-images.ts");
  const environment = { ...server.environment, stdout: () => response };
  await using engine = openQuietly(environment);
  const platform = platformOf(query, environment);
  // Unknown names are an answer of their own, before the first byte.
  for (const name of images) engine.store.images.find(name);
  begin(response);
  const request = { images, kind: "docker", platform, destination: "-", progress: () => {} } as const;
  await saveImages(engine, request, signal);
  response.end();
}

function begin(response: ServerResponse): void {
  response.setHeader("Content-Type", "application/x-tar");
}

/** `POST /images/load`. */
export async function loadImagesFromBody({ server, query, request, messages, signal }: Call): Promise<void> {
  const { loadArchive } = await import("../engine/images/load-images.ts");
  const body = bodyOf(request);
  await using engine = openQuietly(server.environment);
  try {
    const loaded = await loadArchive(engine, body, platformOf(query, server.environment), signal);
    for (const { names, configDigest, digest } of loaded) {
      if (names.length === 0) messages.send({ stream: `Loaded image ID: ${configDigest ?? digest}\n` });
      for (const name of names) messages.send({ stream: `Loaded image: ${familiarReference(parseReference(name))}\n` });
    }
    messages.end();
  } finally {
    body.destroy();
  }
}

/** Docker's words, and the items that they are about: documents are small. */
const PULLING = { going: "Downloading", done: "Pull complete", items: /^sha256:/ };
const PUSHING = { going: "Pushing", done: "Pushed", items: /^pushing layer sha256:/ };

/** Tells of the bytes of layers, and warns. */
function layersTo(messages: MessageStream, words: typeof PULLING): ProgressSink {
  return (event) => {
    if (event.kind === "status" && event.unit === "bytes") {
      if (!words.items.test(event.item)) return;
      const message = transferred(event, words);
      if (event.done) messages.send(message);
      else messages.sendPassing(message);
    } else if (event.kind === "notice" && event.level === "warning") {
      messages.send({ status: `Warning: ${event.message}` });
    }
  };
}

function platformOf(query: URLSearchParams, { platform }: BuildEnvironment): BuildEnvironment["platform"] | undefined {
  const text = platformText(query);
  return text === undefined ? undefined : parsePlatform(text, platform);
}
