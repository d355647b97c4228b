import { S_IFCHR, S_IFBLK, S_IFLNK, S_IFREG } from "../../../lib/native/constants.ts";
import type { Digest } from "../../../lib/core/digest.ts";
import { isRecord } from "../../../lib/core/json.ts";
import type { TreeNode } from "../../../lib/tree/tree-node.ts";
import { LETTERS, listFiles } from "../../../solver/select/listing.ts";
import { type ImageFiles, listImageFiles, type LookedAt, type LookParts, openImageFiles } from "./image-files.ts";

/** One value that differs; `undefined` where an image has none. */
export interface Difference {
  readonly name: string;
  readonly before: string | undefined;
  readonly after: string | undefined;
}

export interface FileDifference {
  readonly path: string;
  readonly kind: "added" | "removed" | "changed";
  /** Fields of the file's header in a layer, and `content`. Empty unless changed. */
  readonly fields: readonly Difference[];
}

/** A layer at one place of the stack. */
export interface LayerDifference {
  /** Number from the bottom, from 1. */
  readonly number: number;
  readonly before: Digest | undefined;
  readonly after: Digest | undefined;
  readonly createdBy: string;
}

export interface ImageDifferences {
  readonly config: readonly Difference[];
  readonly layers: readonly LayerDifference[];
  /** Files in byte order of path. */
  readonly files: readonly FileDifference[];
}

/**
 * Compares two images: configuration, layers and files. A file that both have from one layer is not read.
 * @param latestSeconds the time that later ones of the files count as, for layers whose times are rewritten
 */
export async function compareImages(
  parts: LookParts,
  before: LookedAt,
  after: LookedAt,
  signal: AbortSignal,
  latestSeconds = Number.POSITIVE_INFINITY,
): Promise<ImageDifferences> {
  await using left = await openImageFiles(parts, before, signal);
  await using right = await openImageFiles(parts, after, signal);
  return {
    config: compareJson("", documentOf(before), documentOf(after)),
    layers: compareLayers(before, after),
    files: await compareFiles(left, right, latestSeconds, signal),
  };
}

/** Returns the configuration without the layers, which are compared separately. */
function documentOf({ config }: LookedAt): Readonly<Record<string, unknown>> {
  const { rootfs: _layers, other, ...rest } = config;
  return { ...rest, ...other };
}

function compareJson(name: string, before: unknown, after: unknown): readonly Difference[] {
  if (JSON.stringify(before) === JSON.stringify(after)) return [];
  const isList = Array.isArray(before) && Array.isArray(after);
  if (isList || (isRecord(before) && isRecord(after))) {
    const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    return names.flatMap((member) =>
      compareJson(
        isList ? `${name}[${member}]` : name === "" ? member : `${name}.${member}`,
        Object.getOwnPropertyDescriptor(before, member)?.value,
        Object.getOwnPropertyDescriptor(after, member)?.value,
      ),
    );
  }
  const text = (value: unknown): string | undefined => (value === undefined ? undefined : JSON.stringify(value));
  return [{ name, before: text(before), after: text(after) }];
}

function compareLayers(before: LookedAt, after: LookedAt): readonly LayerDifference[] {
  const [left, right] = [before, after].map(({ config }) => config.rootfs.diff_ids);
  const steps = after.config.history.filter((entry) => entry.empty_layer !== true);
  const count = Math.max(left?.length ?? 0, right?.length ?? 0);
  return Array.from({ length: count }, (_, index) => ({
    number: index + 1,
    before: left?.[index],
    after: right?.[index],
    createdBy: steps[index]?.created_by ?? "",
  })).filter((layer) => layer.before !== layer.after);
}

/** Compares two trees, file by file, in byte order of path. */
export async function compareFiles(
  left: ImageFiles,
  right: ImageFiles,
  latestSeconds: number,
  signal: AbortSignal,
): Promise<readonly FileDifference[]> {
  const before = new Map((await listImageFiles(left, "/", "all", signal)).map(({ path, node }) => [path, node]));
  const after = new Map((await listImageFiles(right, "/", "all", signal)).map(({ path, node }) => [path, node]));
  const common = [...after].flatMap(([path, node]) => {
    const other = before.get(path);
    return other === undefined || other.inode === node.inode ? [] : [{ path, before: other, after: node }];
  });
  const [was, is] = await Promise.all([
    linesOf(
      left,
      common.map(({ path, before: node }) => ({ path, node })),
      signal,
    ),
    linesOf(
      right,
      common.map(({ path, after: node }) => ({ path, node })),
      signal,
    ),
  ]);
  const changed = common.flatMap((pair, index): FileDifference[] => {
    const lines = { was: was[index] ?? "", is: is[index] ?? "" };
    const fields = compareNodes(pair.before, pair.after, lines, latestSeconds);
    return fields.length === 0 ? [] : [{ path: pair.path, kind: "changed", fields }];
  });
  const added = [...after.keys()].filter((path) => !before.has(path)).map((path) => only(path, "added"));
  const removed = [...before.keys()].filter((path) => !after.has(path)).map((path) => only(path, "removed"));
  return [...changed, ...added, ...removed].toSorted((a, b) =>
    Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)),
  );
}

function only(path: string, kind: "added" | "removed"): FileDifference {
  return { path, kind, fields: [] };
}

/** Writes one line per file, with the digests of its content and attributes. */
async function linesOf(
  { view }: ImageFiles,
  files: readonly { readonly path: string; readonly node: TreeNode }[],
  signal: AbortSignal,
): Promise<readonly string[]> {
  const listing = await listFiles(view, files, { root: undefined, tops: [], purpose: "see" }, signal);
  return listing.text.split("\n");
}

/** Columns of a line of `listFiles`. */
const SUBJECT = 6;
const ATTRIBUTES = 7;

function compareNodes(
  before: TreeNode,
  after: TreeNode,
  { was, is }: { readonly was: string; readonly is: string },
  latestSeconds: number,
): readonly Difference[] {
  const [left, right] = [was, is].map((line) => line.split("\t"));
  const both = (name: string, one: string, other: string): Difference[] =>
    one === other ? [] : [{ name, before: one, after: other }];
  const type = both("type", typeOf(before), typeOf(after));
  if (type.length > 0) return type;
  const subject = both(subjectName(before), left?.[SUBJECT] ?? "", right?.[SUBJECT] ?? "");
  const isLink = before.type === S_IFLNK;
  return [
    ...(isLink ? [] : both("mode", modeOf(before), modeOf(after))),
    ...both("uid", String(before.uid), String(after.uid)),
    ...both("gid", String(before.gid), String(after.gid)),
    ...(before.type === S_IFREG ? both("size", String(before.sizeBytes), String(after.sizeBytes)) : []),
    ...subject,
    ...both("attributes", left?.[ATTRIBUTES] ?? "", right?.[ATTRIBUTES] ?? ""),
    ...both("mtime", timeOf(before, latestSeconds), timeOf(after, latestSeconds)),
  ];
}

export function typeOf(node: TreeNode): string {
  return LETTERS.get(node.type) ?? "?";
}

/** Formats `0644`: permissions with the setuid, setgid and sticky bits. */
export function modeOf(node: TreeNode): string {
  return (node.mode & 0o7777).toString(8).padStart(4, "0");
}

/** Formats a time in whole seconds, as a layer keeps it. */
export function timeOf(node: TreeNode, latestSeconds = Number.POSITIVE_INFINITY): string {
  return new Date(Math.min(Number(node.mtimeNs / 1_000_000_000n), latestSeconds) * 1000)
    .toISOString()
    .replace(".000Z", "Z");
}

function subjectName({ type }: TreeNode): string {
  if (type === S_IFLNK) return "target";
  return type === S_IFCHR || type === S_IFBLK ? "device" : "content";
}
