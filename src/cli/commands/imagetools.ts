import { writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { Command } from "commander";
import { BuildError } from "../../../lib/core/errors.ts";
import { readGiven } from "../../../lib/core/given-file.ts";
import { isRecord, parseJson } from "../../../lib/core/json.ts";
import { MAX_MANIFEST_BYTES, parseManifestDocument } from "../../../lib/core/manifest.ts";
import { MEDIA_TYPES } from "../../../lib/core/oci.ts";
import { printableDocument, printableLine } from "../../../lib/core/printable.ts";
import { formatPlatform } from "../../../lib/core/platform.ts";
import { familiarReference, type ImageRef, parseReference } from "../../../lib/core/reference.ts";
import type { RegistryClient } from "../../../lib/registry/registry.ts";
import { platformOf } from "../../../lib/registry/select-platform.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { accountOptions, givenAccounts } from "../flags/accounts.ts";
import { templateOf } from "../flags/format.ts";
import { texts } from "../flags/texts.ts";
import { printText } from "../listing.ts";
import { blobCounter, registryEngine } from "../registry-engine.ts";
import { platformsOf } from "./copy.ts";

/**
 * Declares `kiln imagetools create`: gives one name to images that were built separately. Layers are not downloaded.
 */
export function imagetoolsCreateCommand(program: Command, cli: Cli): void {
  accountOptions(command(program, cli, "imagetools-create [source...]", create))
    .description("make one index of images in registries (imagetools create)")
    .option("-t, --tag <name>", "the index's name; may be given several times", texts, [])
    .option(
      "-f, --file <path>",
      "a file with a descriptor (or a digest) as source; may be given several times",
      texts,
      [],
    )
    .option("--append", "add to the index that has the name already")
    .option("--annotation <key=value>", "of the index; manifest-descriptor:key=value of its members", texts, [])
    .option("-p, --platform <os/arch>", "only these, separated by commas", texts, [])
    .option("--no-prefer-index", "one image alone stays an image (also --prefer-index=false)")
    .option("--dry-run", "print the index instead of writing it")
    .option("--metadata-file <path>", "write names and digest as JSON")
    .option("--insecure", "plain HTTP or an unverified certificate is fine")
    .option("-q, --quiet", "print only the digest")
    .addHelpText(
      "after",
      examples([
        [
          "kiln imagetools create -t r.example/app:1 r.example/app:1-amd64 r.example/app:1-arm64",
          "two machines' images",
        ],
        ["kiln imagetools create --append -t r.example/app:1 r.example/app@sha256:...", "one more platform"],
      ]),
    );
}

async function create(
  context: CommandContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const names = listOf(options["tag"]).map((name) => parseReference(name));
  const [first] = names;
  const isDryRun = options["dryRun"] === true;
  const files = listOf(options["file"]);
  if (args.length + files.length === 0) throw usage("it has no source", "name the images to put together");
  if (first === undefined && !isDryRun) throw usage("it has no name", "add -t NAME");
  const { index, member } = annotationsOf(listOf(options["annotation"]));
  const sources = [
    ...args.map((text) => sourceOf(text, first)),
    ...(await Promise.all(files.map((path) => sourceIn(path, first, context)))),
  ];
  const { forPlatforms, indexOf, joinMembers, membersOf, pushIndex } =
    await import("../../engine/remote/make-index.ts");
  const accounts = await givenAccounts(context, options, first?.registry ?? sources[0]?.registry ?? "docker.io");
  const registries = [...names, ...sources].map(({ registry }) => registry);
  await using engine = registryEngine(context, options, registries, accounts);
  const client = await engine.registry();
  if (options["append"] === true && first !== undefined) sources.unshift(first);
  const found = await Promise.all(sources.map((source) => membersOf(client, source, context.signal)));
  const members = forPlatforms(joinMembers(found.flat()), platformsOf(context, options["platform"]));
  if (options["preferIndex"] === false && members.length === 1 && sources.length === 1 && !isDryRun) {
    const { copyImage } = await import("../../engine/remote/copy-image.ts");
    const [source] = sources;
    for (const to of names) {
      if (source === undefined) continue;
      const request = { from: source, to, platforms: [], referrers: false, onBlob: () => undefined };
      context.print((await copyImage(client, request, context.signal)).digest);
    }
    return;
  }
  const isDocker = members.every(({ descriptor }) => descriptor.mediaType === MEDIA_TYPES.dockerManifest);
  const isPlain = Object.keys(index).length + Object.keys(member).length === 0;
  const mediaTypes = isDocker && isPlain ? "docker" : "oci";
  const made = { members, index: indexOf(members, { annotations: index, memberAnnotations: member, mediaTypes }) };
  if (isDryRun) {
    context.print(printableDocument(JSON.stringify(made.index, undefined, 2)));
    return;
  }
  const counter = blobCounter();
  for (const to of names) {
    const { digest, mediaType, size } = await pushIndex(client, to, made, counter.note, context.signal);
    if (options["quiet"] !== true) context.warn(`Pushed ${familiarReference(to)}: ${counter.text()}`);
    const metadata = options["metadataFile"];
    if (typeof metadata === "string") {
      const descriptor = { mediaType, digest, size };
      const document = {
        "containerimage.descriptor": descriptor,
        "containerimage.digest": digest,
        "image.name": names.map((name) => familiarReference(name)).join(","),
      };
      await writeFile(resolve(context.host.workingDirectory, metadata), `${JSON.stringify(document, undefined, 2)}\n`);
    }
    if (to === names.at(-1)) context.print(digest);
  }
}

/** Reads a source: a name, or a digest in the first name's repository. */
function sourceOf(text: string, first: ImageRef | undefined): ImageRef {
  if (!/^sha256:[0-9a-f]{64}$/.test(text)) return parseReference(text);
  if (first === undefined) throw usage(`the source ${text} has no repository`, "add -t NAME, or write NAME@DIGEST");
  return parseReference(`${familiarReference({ ...first, tag: undefined, digest: undefined })}@${text}`);
}

async function sourceIn(path: string, first: ImageRef | undefined, context: CommandContext): Promise<ImageRef> {
  const refuse = (why: string): BuildError =>
    usage(`the file "${path}" is no descriptor: ${why}`, "write a descriptor as JSON, or a digest");
  const full = resolve(context.host.workingDirectory, path);
  const text = (await readGiven({ path: full, refuse }, MAX_MANIFEST_BYTES, context.signal)).toString("utf8").trim();
  const json = parseJson(text);
  const digest = isRecord(json) ? (json["digest"] ?? json["containerimage.digest"]) : text;
  if (typeof digest !== "string") throw refuse("it has no digest");
  return sourceOf(digest, first);
}

function annotationsOf(given: readonly string[]): {
  readonly index: Record<string, string>;
  readonly member: Record<string, string>;
} {
  const found = { index: new Map<string, string>(), member: new Map<string, string>() };
  for (const text of given) {
    const [, type = "index", key, value = ""] = /^(?:(index|manifest-descriptor):)?([^=]+)=(.*)$/s.exec(text) ?? [];
    if (key === undefined)
      throw usage(`the annotation "${text}" is not key=value`, "index: and manifest-descriptor: may stand before it");
    (type === "index" ? found.index : found.member).set(key, value);
  }
  return { index: Object.fromEntries(found.index), member: Object.fromEntries(found.member) };
}

function usage(why: string, hint: string): BuildError {
  return new BuildError("cli/usage", `Cannot make the index: ${why}`, { hint });
}

function listOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

/** Declares `kiln imagetools inspect`: shows an image in a registry, without pulling it. */
export function imagetoolsInspectCommand(program: Command, cli: Cli): void {
  accountOptions(command(program, cli, "imagetools-inspect <image>", inspect))
    .description("show an image or index in its registry (imagetools inspect)")
    .option("--raw", "the manifest's own bytes")
    .option("--format <format>", "a Go template of .Name, .Manifest and .Image, or json")
    .option("--insecure", "plain HTTP or an unverified certificate is fine")
    .addHelpText(
      "after",
      examples([["kiln imagetools inspect --format '{{.Manifest.Digest}}' alpine", "the digest of a tag"]]),
    );
}

async function inspect(
  context: CommandContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const reference = parseReference(args[0] ?? "");
  const accounts = await givenAccounts(context, options, reference.registry);
  await using engine = registryEngine(context, options, [reference.registry], accounts);
  const client = await engine.registry();
  const found = await client.resolve(reference, context.signal);
  const { stdout } = context.host;
  if (options["raw"] === true) {
    stdout.write(stdout.isTTY === true ? printableDocument(found.bytes.toString()) : found.bytes);
    return;
  }
  const name = familiarReference(reference);
  const { format } = options;
  if (typeof format === "string") {
    const text = format === "json" ? "{{json .}}" : format;
    const { structOf } = await import("../template/value.ts");
    const manifest = { ...found.descriptor, ...documentIn(found.bytes) };
    const image = /\.Image\b|json \.\}/.test(text) ? await imageOf(client, reference, context.signal) : undefined;
    const fields = { Name: name, Manifest: structOf(manifest), Image: structOf(image ?? null) };
    printText(context, (await templateOf(text)).render(fields));
    return;
  }
  context.print(`Name:      ${name}`);
  context.print(printableLine(`MediaType: ${found.descriptor.mediaType}`));
  context.print(`Digest:    ${found.descriptor.digest}`);
  if (found.document.kind !== "index") return;
  context.print("");
  context.print("Manifests:");
  for (const member of found.document.index.manifests) {
    const platform = platformOf(member);
    const bare = familiarReference({ ...reference, tag: undefined, digest: member.digest });
    context.print(`  Name:      ${bare}`);
    context.print(printableLine(`  MediaType: ${member.mediaType}`));
    if (platform !== undefined) context.print(printableLine(`  Platform:  ${formatPlatform(platform)}`));
    for (const [key, value] of Object.entries(member.annotations ?? {})) {
      context.print(printableLine(`  ${key}: ${value}`));
    }
    context.print("");
  }
}

function documentIn(bytes: Buffer): Readonly<Record<string, unknown>> {
  const json = parseJson(bytes.toString());
  return isRecord(json) ? json : {};
}

/** Fetches the configuration of an image; of an index those of all its platforms, by platform. */
async function imageOf(client: RegistryClient, reference: ImageRef, signal: AbortSignal): Promise<unknown> {
  const { membersOf } = await import("../../engine/remote/make-index.ts");
  const members = await membersOf(client, reference, signal);
  const images = await Promise.all(
    members.map(async ({ descriptor }): Promise<readonly [string, unknown]> => {
      const platform = platformOf(descriptor);
      const { bytes, document } = await client.fetchManifest(reference, descriptor, signal);
      if (document.kind === "index" || platform === undefined) return ["", documentIn(bytes)];
      const chunks: Buffer[] = [];
      const stream = await client.fetchBlob(reference, document.manifest.config, signal);
      for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
      return [formatPlatform(platform), documentIn(Buffer.concat(chunks))];
    }),
  );
  const [only] = images;
  return images.length === 1 ? only?.[1] : Object.fromEntries(images.filter(([platform]) => platform !== ""));
}

/** Formats a list's document for people: `kiln manifest inspect`. */
export function shownDocument(bytes: Buffer, where: string): string {
  const document = parseManifestDocument(bytes, MEDIA_TYPES.ociIndex, where);
  return printableDocument(
    JSON.stringify(document.kind === "index" ? document.index : document.manifest, undefined, 2),
  );
}
