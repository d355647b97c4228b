import type { Command } from "commander";
import { parseReference, familiarReference } from "../../core/reference.ts";
import { formatBytes } from "../../progress/step-book.ts";
import type { ImageSummary, Store } from "../../store/store.ts";
import { type Cli, command } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { ago, shortId, table } from "../table.ts";

/** `kiln images`: what is in the local store, newest first. */
export function imagesCommand(program: Command, cli: Cli): void {
  command(program, cli, "images [name]", run)
    .description("list the images in the local store")
    .option("-a, --all", "also those without a name")
    .option("-q, --quiet", "only ids")
    .option("--no-trunc", "whole ids")
    .option("--format <format>", "json: one object per line");
}

async function run(
  context: CommandContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  await using engine = context.openEngine();
  const now = context.host.nowMs();
  const id = (text: string): string => (options["trunc"] === false ? text : shortId(text));
  const wanted = args[0] === undefined ? undefined : parseReference(args[0]);
  const rows: { repository: string; tag: string; id: string; created: string; size: string }[] = [];
  for (const image of engine.store.images.list()) {
    const names = image.names.map((name) => parseReference(name));
    const shown = names.filter(
      (name) => wanted === undefined || (name.repository === wanted.repository && name.registry === wanted.registry),
    );
    const unnamed = options["all"] === true && names.length === 0 && wanted === undefined;
    for (const name of unnamed ? [undefined] : shown) {
      rows.push({
        repository: name === undefined ? "<none>" : familiarReference({ ...name, tag: undefined, digest: undefined }),
        tag: name?.tag ?? "<none>",
        id: id(image.configDigest ?? image.digest),
        created: ago(image.createdAtMs, now),
        size: formatBytes(sizeOf(image, engine.store)),
      });
    }
  }
  if (options["format"] === "json") for (const row of rows) context.print(JSON.stringify(row));
  else if (options["quiet"] === true) for (const one of new Set(rows.map((row) => row.id))) context.print(one);
  else {
    const header = ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"];
    const lines = rows.map((row) => [row.repository, row.tag, row.id, row.created, row.size]);
    for (const line of table(header, lines)) context.print(line);
  }
}

/** Of the layers' tars, where known: what a pull of the image would unpack. */
function sizeOf(image: ImageSummary, store: Store): number {
  if (image.kind === "index") {
    const members = image.manifests.flatMap((digest) => store.images.get(digest) ?? []);
    return members.reduce((sum, member) => sum + layersSize(member.layers, store), 0);
  }
  return layersSize(image.layers, store);
}

function layersSize(layers: ImageSummary["layers"], store: Store): number {
  return store.snapshots
    .getMany(layers)
    .reduce((sum, row) => sum + (row.tarSizeBytes ?? blobSize(row.diffId, store)), 0);
}

/** A layer that was pulled and not unpacked is as large as its blob, as far as anybody here knows. */
function blobSize(diffId: ImageSummary["configDigest"], store: Store): number {
  return diffId === undefined ? 0 : (store.snapshots.layerBlobs(diffId)[0]?.descriptor.size ?? 0);
}
