import type { Command } from "commander";
import { familiarReference, parseReference } from "../../../lib/core/reference.ts";
import { formatBytes } from "../../progress/step-book.ts";
import type { Store } from "../../../lib/store/store.ts";
import { type Cli, command, examples, textsIn } from "../command.ts";
import { createdMs } from "../../engine/images/created.ts";
import type { CommandContext } from "../context.ts";
import { type NamedImage, imageFilter } from "../../engine/images/image-filters.ts";
import { listFormat } from "../flags/format.ts";
import { imageSize, layersSize } from "../../engine/images/image-size.ts";
import { formatPlatform } from "../../../lib/core/platform.ts";
import type { StoredImage } from "../../../lib/store/model.ts";
import { listedTime, printListing } from "../listing.ts";
import { ago, shortId, table } from "../table.ts";

/** Declares `kiln images`: lists the local store, newest first. */
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
    .option("--tree", "also the platforms of each image")
    .option("--format <format>", "table, json (one object per line), or a Go template such as {{.ID}}", "table")
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

const TITLES = {
  Containers: "CONTAINERS",
  CreatedAt: "CREATED AT",
  CreatedSince: "CREATED",
  Digest: "DIGEST",
  ID: "IMAGE ID",
  Repository: "REPOSITORY",
  SharedSize: "SHARED SIZE",
  Size: "SIZE",
  Tag: "TAG",
  UniqueSize: "UNIQUE SIZE",
  VirtualSize: "VIRTUAL SIZE",
};

async function run(
  context: CommandContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const format = await listFormat(options["format"]);
  await using engine = context.openEngine();
  const { store } = engine;
  const filter = await imageFilter(args[0], textsIn(options, "filter"), store);
  const shown = store.images.list().flatMap((image): NamedImage[] => {
    const names = image.names.map((name) => parseReference(name));
    const isShownUnnamed = names.length === 0 && (options["all"] === true || filter.isAboutUnnamed);
    return [...(isShownUnnamed ? [undefined] : []), ...names].map((name) => ({ image, name })).filter(filter.passes);
  });
  // An image without a time comes last.
  const made = shown.map((one) => ({ one, madeMs: createdMs(one.image, store) ?? Number.MIN_SAFE_INTEGER }));
  const newestFirst = made.toSorted((a, b) => b.madeMs - a.madeMs).map(({ one }) => one);
  const rows = newestFirst.map((one) =>
    rowOf(one, { now: context.host.nowMs(), whole: options["trunc"] === false, store }),
  );
  if (options["quiet"] === true) {
    for (const id of new Set(rows.map((row) => row.ID))) context.print(id);
    return;
  }
  if (options["tree"] === true) {
    for (const line of treeLines(newestFirst, rows, store)) context.print(line);
    return;
  }
  const digests = options["digests"] === true ? ["Digest"] : [];
  const columns = ["Repository", "Tag", ...digests, "ID", "CreatedSince", "Size"];
  printListing(context, format, { rows, titles: TITLES, columns });
}

function rowOf(
  { image, name }: NamedImage,
  view: { readonly now: number; readonly whole: boolean; readonly store: Store },
): Readonly<Record<keyof typeof TITLES, string>> {
  const id = image.configDigest ?? image.digest;
  const madeMs = createdMs(image, view.store);
  const size = formatBytes(imageSize(image, view.store));
  return {
    Containers: "N/A",
    CreatedAt: madeMs === undefined ? "N/A" : listedTime(madeMs),
    CreatedSince: madeMs === undefined ? "N/A" : ago(madeMs, view.now),
    Digest: image.digest,
    ID: view.whole ? id : shortId(id),
    Repository: name === undefined ? "<none>" : familiarReference({ ...name, tag: undefined, digest: undefined }),
    SharedSize: "N/A",
    Size: size,
    Tag: name?.tag ?? "<none>",
    UniqueSize: "N/A",
    VirtualSize: size,
  };
}

/** Draws each image with its platforms below it; absent ones are marked as missing. */
function treeLines(
  images: readonly NamedImage[],
  rows: readonly ReturnType<typeof rowOf>[],
  store: Pick<Store, "images" | "snapshots">,
): readonly string[] {
  const cells = images.flatMap(({ image }, index) => {
    const row = rows[index];
    const name = row === undefined ? "" : row.Tag === "<none>" ? row.Repository : `${row.Repository}:${row.Tag}`;
    const members = image.kind === "index" ? image.manifests : [];
    const below = members.map((digest, place) => {
      const found = store.images.get(digest);
      const branch = place === members.length - 1 ? "└─" : "├─";
      const platform = found === undefined ? "(not here)" : platformText(found.config);
      const bytes = found === undefined ? "" : formatBytes(layersSize(found.layers, store));
      return [`${branch} ${platform}`, shortId(digest), bytes];
    });
    return [[name, row?.ID ?? "", row?.Size ?? ""], ...below];
  });
  return table(["IMAGE", "ID", "SIZE"], cells);
}

function platformText({ os, architecture, variant }: StoredImage["config"]): string {
  return formatPlatform({ os, architecture, ...(variant === undefined ? {} : { variant }) });
}
