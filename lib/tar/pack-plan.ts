import { isAscii } from "node:buffer";
import { contentTime, type LayerRuns } from "../core/run-interval.ts";
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from "../native/constants.ts";
import { encodeName } from "../native/names.ts";
import type { Native, PackPlan } from "../native/native.ts";
import type { TreeScan } from "../native/scan.ts";
import { CONTENT_FORMAT, contentBefore, contentBehind, countsXattr } from "./content-digest.ts";
import { floorSeconds } from "./entry.ts";
import { encodeHeader } from "./header-write.ts";
import { layerEntries, type LayerEntry, WHITEOUT_PREFIX } from "./layer-entries.ts";
import type { PackOptions } from "./pack.ts";
import { isReservedName, reservedName } from "./reserved.ts";

/** Kinds of rows, as pack.c has them. */
const PLAIN = 1;
const SCRIPTED = 2;

// What fits into the fields of a ustar header.
const MAX_NAME = 100;
const MAX_ID = 0o7777777;
const MAX_SIZE = 0o77777777777;
/** High word of the latest time taken for plain: whole nanoseconds of a little less than 2^33 seconds. */
const MAX_TIME_HIGH = 1_990_000_000;
const NO_CLAMP = 0o77777777777;

/**
 * Says how the addon has to pack a scanned tree. Nearly all members of nearly all layers are plain: a header of one block
 * made of what the scan knows. The rest, everything with attributes, whiteouts, links, devices, long or foreign names, is
 * written out here, by the code that also writes tars.
 * @throws {BuildError} `image/reserved` for a file whose name would be a whiteout's
 */
export function packPlan(
  native: Native,
  dirfd: number,
  scan: TreeScan,
  options: Pick<PackOptions, "marks" | "xattrs" | "clampMtimeSeconds" | "runs">,
  every: "plain" | "scripted" = "plain",
): PackPlan {
  refuseReserved(scan);
  const clamp = options.clampMtimeSeconds;
  const kinds = every === "plain" && (clamp ?? 0) >= 0 ? kindsOf(scan) : scripted(scan);
  const { marks, xattrs = "capability" } = options;
  const script: Buffer[] = [...record(0, Buffer.alloc(0), Buffer.from(CONTENT_FORMAT), Buffer.alloc(0), false)];
  const sockets = socketsOf(scan);
  const addSockets = (before: number): void => {
    for (let row = sockets[0]; row !== undefined && row < before; row = sockets[0]) {
      script.push(...socketRecord(scan, row, options.runs));
      sockets.shift();
    }
  };
  for (const member of layerEntries({ native, dirfd, scan, marks, xattrs, only: (row) => kinds[row] === SCRIPTED })) {
    addSockets(member.row);
    script.push(...memberRecord(member, clamp, options.runs));
  }
  addSockets(scan.count);
  return {
    columns: scan.columns,
    kinds,
    script: Buffer.concat(script),
    latestSeconds: clamp ?? NO_CLAMP,
    runs: options.runs,
  };
}

/** A layer's directory says by its own marks what is deleted, so a file of a whiteout's name is just that: a file. */
function refuseReserved(scan: TreeScan): void {
  const { buffer, byteOffset, byteLength } = scan.columns.names;
  if (!Buffer.from(buffer, byteOffset, byteLength).includes(WHITEOUT_PREFIX)) return;
  for (let row = 1; row < scan.count; row += 1) if (isReservedName(scan.name(row))) throw reservedName(scan.path(row));
}

/** The root has no member of its own but may be opaque, and its record opens the content digest. */
function scripted(scan: TreeScan): Uint8Array {
  return new Uint8Array(scan.count).fill(SCRIPTED);
}

function kindsOf(scan: TreeScan): Uint8Array {
  const { columns, count } = scan;
  const { mode, uid, gid, size, nlink, parent, nameEnd, linkEnd } = columns;
  const times = new Int32Array(columns.mtimeNs.buffer, columns.mtimeNs.byteOffset, count * 2);
  const kinds = scripted(scan);
  const lengths = new Uint32Array(count);
  const areNamesAscii = isAscii(columns.names);
  const areLinksAscii = isAscii(columns.links);
  const linked = linkedInside(scan);
  for (let row = 1; row < count; row += 1) {
    const above = parent[row] ?? 0;
    const length = (nameEnd[row] ?? 0) - (nameEnd[row - 1] ?? 0) + (above > 0 ? (lengths[above] ?? 0) + 1 : 0);
    lengths[row] = length;
    const type = (mode[row] ?? 0) & S_IFMT;
    const isLink = type === S_IFLNK;
    if (type !== S_IFREG && type !== S_IFDIR && !isLink) continue;
    const linkLength = isLink ? (linkEnd[row] ?? 0) - (linkEnd[row - 1] ?? 0) : 0;
    const high = times[row * 2 + 1] ?? -1;
    if (
      scan.hasXattrs(row) ||
      length + (type === S_IFDIR ? 1 : 0) > MAX_NAME ||
      (isLink && (linkLength === 0 || linkLength > MAX_NAME || !areLinksAscii)) ||
      (uid[row] ?? 0) > MAX_ID ||
      (gid[row] ?? 0) > MAX_ID ||
      (size[row] ?? 0) > MAX_SIZE ||
      high < 0 ||
      high > MAX_TIME_HIGH ||
      (!areNamesAscii && !isAscii(encodeName(scan.path(row)))) ||
      (linked !== undefined && type !== S_IFDIR && (nlink[row] ?? 1) > 1 && linked.has(columns.ino[row] ?? 0n))
    ) {
      continue;
    }
    kinds[row] = PLAIN;
  }
  return kinds;
}

/** Inodes with several names in this tree. A file may have others in other snapshots, which are no matter of this layer's. */
function linkedInside(scan: TreeScan): ReadonlySet<bigint> | undefined {
  const { nlink, mode, ino } = scan.columns;
  const rows: number[] = [];
  for (let row = 1; row < scan.count; row += 1) {
    if ((nlink[row] ?? 1) > 1 && ((mode[row] ?? 0) & S_IFMT) !== S_IFDIR) rows.push(row);
  }
  if (rows.length < 2) return undefined;
  const inodes = BigUint64Array.from(rows, (row) => ino[row] ?? 0n).toSorted();
  const found = new Set<bigint>();
  for (let at = 1; at < inodes.length; at += 1) {
    const inode = inodes[at];
    if (inode !== undefined && inode === inodes[at - 1]) found.add(inode);
  }
  return found.size === 0 ? undefined : found;
}

function socketsOf({ columns, count }: TreeScan): number[] {
  const rows: number[] = [];
  for (let row = 1; row < count; row += 1) if (((columns.mode[row] ?? 0) & S_IFMT) === S_IFSOCK) rows.push(row);
  return rows;
}

/** No tar holds a socket. A later command sees it all the same, so it is content. */
function socketRecord(scan: TreeScan, row: number, runs: LayerRuns): Buffer[] {
  const { mode, uid, gid, mtimeNs } = scan.columns;
  const content = {
    path: scan.path(row),
    type: "socket",
    mode: (mode[row] ?? 0) & 0o7777,
    uid: uid[row] ?? 0,
    gid: gid[row] ?? 0,
    size: 0,
    linkName: "",
    deviceMajor: 0,
    deviceMinor: 0,
    time: contentTime(mtimeNs[row] ?? 0n, runs),
    xattrs: [],
  } as const;
  return record(row, Buffer.alloc(0), contentBefore(content), contentBehind(content), false);
}

function memberRecord(member: LayerEntry, clamp: number | undefined, runs: LayerRuns): Buffer[] {
  const { entry, attributes, mark, row, index } = member;
  const seconds = floorSeconds(entry.mtimeNs);
  const mtimeNs = BigInt(clamp === undefined ? seconds : Math.min(seconds, clamp)) * 1_000_000_000n;
  const kept = attributes.size === 0 ? [] : [...attributes].filter(([key]) => countsXattr(key));
  const content = {
    ...entry,
    type: mark ?? entry.type,
    time: mark === undefined ? contentTime(entry.mtimeNs, runs) : "-",
    xattrs: kept.toSorted(([left], [right]) => Buffer.compare(encodeName(left), encodeName(right))),
  };
  const hasContent = index !== undefined && entry.size > 0;
  return record(row, encodeHeader({ ...entry, mtimeNs }), contentBefore(content), contentBehind(content), hasContent);
}

/** One member of the script: five numbers, then the bytes that three of them count. */
function record(row: number, header: Buffer, before: Buffer, behind: Buffer, hasContent: boolean): Buffer[] {
  const numbers = Uint32Array.of(row, header.length, before.length, behind.length, hasContent ? 1 : 0);
  return [Buffer.from(numbers.buffer), header, before, behind];
}
