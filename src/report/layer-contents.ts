import { printableLine } from "../../lib/core/printable.ts";
import type { SnapshotId } from "../../lib/store/model.ts";
import type { Store } from "../../lib/store/store.ts";
import { printableName } from "../../lib/native/names.ts";
import type { LookParts } from "../engine/look/image-files.ts";
import { type LayerContent, readLayer } from "../engine/look/layer-files.ts";
import type { BuildReport } from "../engine/report.ts";
import type { PageFile, PageFiles, PageTree } from "./data.ts";
import { fileTree } from "./file-tree.ts";

/** Limit of listed files of one step. */
const MAX_FILES = 200;
/** Entries below this share of their layer are put together. */
const LEAST_SHARE = 1 / 300;

type Parts = LookParts & { readonly store: Pick<Store, "snapshots"> };

interface Contents {
  readonly files: ReadonlyMap<string, PageFiles>;
  readonly trees: ReadonlyMap<string, PageTree>;
}

/** Lists the files of a build's layers, as far as their directories are in the store. Nothing is fetched or unpacked. */
export async function layerContents(report: BuildReport, parts: Parts, signal: AbortSignal): Promise<Contents> {
  const image = (report.record?.result?.layers ?? []).map(({ id }) => id);
  const steps = report.steps.flatMap(({ layer, how }, index) =>
    layer === undefined || how !== "ran" ? [] : [{ layer, index }],
  );
  const wanted = [...new Set([...image, ...steps.flatMap(({ layer, index }) => [layer, ...below(report, index)])])];
  const known = new Map(
    parts.store.snapshots.getMany(wanted.map(snapshotId)).map((row) => [String(row.id), row.state]),
  );
  const contents = new Map<string, LayerContent>();
  for (const id of wanted) {
    signal.throwIfAborted();
    if (known.get(id) !== "present") continue;
    const content = await contentOf(parts, id);
    if (content !== undefined) contents.set(id, content);
  }
  const trees = image.flatMap((id) => {
    const content = contents.get(id);
    if (content === undefined) return [];
    const files = content.files.map(({ path, bytes }) => ({ path: printableLine(printableName(path)), bytes }));
    return [[id, fileTree(files, bytesOf(content) * LEAST_SHARE)] as const];
  });
  const files = steps.flatMap(({ layer, index }) => {
    const content = contents.get(layer);
    return content === undefined ? [] : [[layer, filesOf(content, lowerOf(report, index, image, contents))] as const];
  });
  return { files: new Map(files), trees: new Map(trees) };
}

/** The ids of a report are those of the store, or name nothing in it. */
function snapshotId(id: string): SnapshotId {
  return id as SnapshotId; // oxlint-disable-line typescript/no-unsafe-type-assertion -- only looked up, among rows
}

async function contentOf(parts: Parts, id: string): Promise<LayerContent | undefined> {
  try {
    return await readLayer(parts, parts.snapshotter.pathOf(snapshotId(id)));
  } catch {
    return undefined; // another process collected it just now
  }
}

function bytesOf(content: LayerContent | undefined): number {
  return content?.files.reduce((sum, { bytes }) => sum + bytes, 0) ?? 0;
}

/** Lists the layers of the steps that a step stands on, nearest first. */
function below(report: BuildReport, index: number): readonly string[] {
  const layers: string[] = [];
  const seen = new Set<number>();
  for (let at = parentOf(report, index); at !== undefined && !seen.has(at); at = parentOf(report, at)) {
    seen.add(at);
    const layer = report.steps[at]?.layer;
    if (layer !== undefined) layers.push(layer);
  }
  return layers;
}

function parentOf({ steps }: BuildReport, index: number): number | undefined {
  const step = steps[index];
  return step?.isOnFirst === true ? step.needs?.[0] : undefined;
}

/** Collects the paths below a step; `undefined` where some layer below is unknown. */
function lowerOf(
  report: BuildReport,
  index: number,
  image: readonly string[],
  contents: ReadonlyMap<string, LayerContent>,
): ReadonlySet<string> | undefined {
  const own = report.steps[index]?.layer ?? "";
  const place = image.indexOf(own);
  // A step of the image stands on all layers below it; another stage's base image is not known here.
  const layers = place === -1 ? below(report, index) : image.slice(0, place);
  const isRooted = place !== -1 || isFromScratch(report, index);
  if (!isRooted || layers.some((id) => !contents.has(id))) return undefined;
  return new Set(layers.flatMap((id) => contents.get(id)?.files.map(({ path }) => path) ?? []));
}

function isFromScratch(report: BuildReport, index: number): boolean {
  let at = index;
  for (let next = parentOf(report, at); next !== undefined; next = parentOf(report, at)) at = next;
  return report.steps[at]?.layer !== undefined;
}

function filesOf({ files, whiteouts }: LayerContent, lower: ReadonlySet<string> | undefined): PageFiles {
  const how = (path: string): PageFile["how"] =>
    lower === undefined ? "written" : lower.has(path) ? "changed" : "added";
  const written = files.map(({ path, bytes }): PageFile => ({ path, how: how(path), bytes }));
  const removed = whiteouts.map((path): PageFile => ({ path, how: "removed", bytes: 0 }));
  const all = [...written.toSorted((a, b) => b.bytes - a.bytes), ...removed];
  const changed = written.filter((file) => file.how === "changed").length;
  return {
    added: written.length - changed,
    changed,
    removed: removed.length,
    bytes: written.reduce((sum, { bytes }) => sum + bytes, 0),
    list: all.slice(0, MAX_FILES).map((file) => ({ ...file, path: printableLine(printableName(file.path)) })),
    more: Math.max(0, all.length - MAX_FILES),
  };
}
