import { printableJson } from "../../../lib/core/printable.ts";
import type { Command } from "commander";
import { familiarReference, parseReference } from "../../../lib/core/reference.ts";
import { formatBytes } from "../../progress/step-book.ts";
import type { ImageSummary, Store } from "../../../lib/store/store.ts";
import { type Cli, command, examples } from "../command.ts";
import { createdMs } from "../created.ts";
import type { CommandContext } from "../context.ts";
import { type NamedImage, imageFilter } from "../image-filters.ts";
import { listFormat } from "../flags/format.ts";
import { ago, shortId, table } from "../table.ts";

/** `kiln images`: what is in the local store, newest first. */
export function imagesCommand(program: Command, cli: Cli): void {
  const each = (value: string, before: readonly string[]): readonly string[] => [...before, value];
  command(program, cli, "images [pattern]", run)
    .description("list the images in the local store")
    .option("-a, --all", "also those without a name")
    .option(
      "-f, --filter <key=value>",
      "reference=PATTERN, label=KEY[=VALUE], dangling=true, before=IMAGE or since=IMAGE",
      each,
      [],
    )
    .option("-q, --quiet", "only ids")
    .option("--digests", "also the digests of manifests")
    .option("--no-trunc", "whole ids")
    .option("--format <format>", "table, or json: one object per line, with docker's keys", "table")
    .addHelpText(
      "after",
      examples([
        ["kiln images", "everything that has a name"],
        ["kiln images 'localhost:5000/*'", "of one registry"],
        ["kiln images '*:latest' -q", "ids of all latest"],
        ["kiln images --filter label=team=a", "by label"],
      ]),
    );
}

interface Row {
  readonly Repository: string;
  readonly Tag: string;
  readonly Digest: string;
  readonly ID: string;
  readonly CreatedAt: string;
  readonly CreatedSince: string;
  readonly Size: string;
}

async function run(
  context: CommandContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const format = listFormat(options["format"]);
  await using engine = context.openEngine();
  const { store } = engine;
  const filter = await imageFilter(args[0], options["filter"] as readonly string[], store);
  const shown = store.images.list().flatMap((image): NamedImage[] => {
    const names = image.names.map((name) => parseReference(name));
    const isShownUnnamed = names.length === 0 && (options["all"] === true || filter.isAboutUnnamed);
    return [...(isShownUnnamed ? [undefined] : []), ...names].map((name) => ({ image, name })).filter(filter.passes);
  });
  // An image without a time stands last.
  const made = shown.map((one) => ({ one, madeMs: createdMs(one.image, store) ?? Number.MIN_SAFE_INTEGER }));
  const newestFirst = made.toSorted((a, b) => b.madeMs - a.madeMs).map(({ one }) => one);
  const rows = newestFirst.map((one) =>
    rowOf(one, { now: context.host.nowMs(), whole: options["trunc"] === false, store }),
  );
  if (format === "json") for (const row of rows) context.print(printableJson(row));
  else if (options["quiet"] === true) for (const id of new Set(rows.map((row) => row.ID))) context.print(id);
  else {
    const digests = options["digests"] === true;
    const header = ["REPOSITORY", "TAG", ...(digests ? ["DIGEST"] : []), "IMAGE ID", "CREATED", "SIZE"];
    const lines = rows.map((row) => [
      row.Repository,
      row.Tag,
      ...(digests ? [row.Digest] : []),
      row.ID,
      row.CreatedSince,
      row.Size,
    ]);
    for (const line of table(header, lines)) context.print(line);
  }
}

function rowOf(
  { image, name }: NamedImage,
  at: { readonly now: number; readonly whole: boolean; readonly store: Store },
): Row {
  const id = image.configDigest ?? image.digest;
  const madeMs = createdMs(image, at.store);
  return {
    Repository: name === undefined ? "<none>" : familiarReference({ ...name, tag: undefined, digest: undefined }),
    Tag: name?.tag ?? "<none>",
    Digest: image.digest,
    ID: at.whole ? id : shortId(id),
    CreatedAt: madeMs === undefined ? "N/A" : new Date(madeMs).toISOString(),
    CreatedSince: madeMs === undefined ? "N/A" : ago(madeMs, at.now),
    Size: formatBytes(sizeOf(image, at.store)),
  };
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
