import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG } from "../native/constants.ts";
import type { Native } from "../native/native.ts";
import type { TreeScan } from "../native/scan.ts";
import { type EntryType, NO_XATTRS, type TarEntry } from "./entry.ts";

/** Where an overlay's own marks live: `trusted.overlay.*` for root, `user.overlay.*` in a user namespace. */
export type Marks = "trusted" | "user";

/** Where the addon writes owners down that the kernel cannot keep (`Native.keepOwners`). No layer has or sets it. */
export const OWNER_XATTR = "user.kiln.owner";

/** A name that says "what lower layers have here is gone". OCI image-spec, layer.md. */
export const WHITEOUT_PREFIX = ".wh.";
export const OPAQUE_NAME = ".wh..wh..opq";

export interface LayerEntryOptions {
  readonly native: Native;
  readonly dirfd: number;
  readonly scan: TreeScan;
  readonly marks: Marks;
  /** Keep `user.*` attributes besides `security.capability`. BuildKit drops them. */
  readonly xattrs: "capability" | "user";
  /** Leaves out the members of all other rows of the scan. They must not be links to, or targets of links in, the rest. */
  readonly only?: (row: number) => boolean;
}

/**
 * One member of the layer's tar. `index` is the entry of the scan whose bytes are the content; `undefined` for whiteouts
 * and links, which have none.
 */
export interface LayerEntry {
  readonly entry: TarEntry;
  /** Of the scan: the file that the member is, or is about. */
  readonly row: number;
  readonly index: number | undefined;
  readonly mark: "whiteout" | "opaque" | undefined;
  /** Every attribute of the file but overlay's and ours, for the content digest. */
  readonly attributes: ReadonlyMap<string, Buffer>;
}

const NOTHING = {
  uid: 0,
  gid: 0,
  size: 0,
  mtimeNs: 0n,
  linkName: "",
  deviceMajor: 0,
  deviceMinor: 0,
  xattrs: NO_XATTRS,
};

/** The members of a layer, in tar order: the order of the scan, each opaque mark right behind its directory. */
export function* layerEntries(options: LayerEntryOptions): Generator<LayerEntry, void> {
  const { native, dirfd, scan, marks } = options;
  const c = scan.columns;
  const opaqueKey = `${marks}.overlay.opaque`;
  const whiteoutKey = `${marks}.overlay.whiteout`;
  // Inodes with several names, by device too: a layer directory is one file system, but nothing here depends on it.
  const firstPaths = new Map<string, string>();

  for (let index = 0; index < scan.count; index += 1) {
    if (options.only?.(index) === false) continue;
    const status = c.mode[index] ?? 0;
    const type = typeOf(status);
    // Sockets are nothing without the process that listens.
    if (type === undefined) continue;
    const path = scan.path(index);
    const found = scan.hasXattrs(index) ? readAttributes(native, dirfd, path) : NO_XATTRS;
    const isDirectory = type === "directory";
    const isWhiteout = type === "char" && c.rdevMajor[index] === 0 && c.rdevMinor[index] === 0;
    if (isWhiteout || (type === "file" && found.has(whiteoutKey))) {
      yield marker(
        siblingPath(path, (name) => `${WHITEOUT_PREFIX}${name}`),
        "whiteout",
        index,
      );
      continue;
    }
    if (index > 0) {
      const attributes = found.size === 0 ? NO_XATTRS : withoutMarks(found);
      const isLinked = !isDirectory && (c.nlink[index] ?? 1) > 1;
      const identity = isLinked ? `${c.dev[index]}:${c.ino[index]}` : "";
      const first = isLinked ? firstPaths.get(identity) : undefined;
      if (isLinked && first === undefined) firstPaths.set(identity, path);
      const isDevice = type === "char" || type === "block";
      const isFile = type === "file" && first === undefined;
      const entry: TarEntry = {
        path,
        type: first === undefined ? type : "link",
        mode: status & 0o7777,
        uid: c.uid[index] ?? 0,
        gid: c.gid[index] ?? 0,
        size: isFile ? (c.size[index] ?? 0) : 0,
        mtimeNs: c.mtimeNs[index] ?? 0n,
        linkName: first ?? (type === "symlink" ? linkTargetOf(options, index, path) : ""),
        deviceMajor: isDevice ? (c.rdevMajor[index] ?? 0) : 0,
        deviceMinor: isDevice ? (c.rdevMinor[index] ?? 0) : 0,
        xattrs: attributes.size === 0 ? NO_XATTRS : packedAttributes(attributes, options.xattrs),
      };
      yield { entry, row: index, index: isFile ? index : undefined, mark: undefined, attributes };
    }
    // "y" hides all lower entries. "x" only says that whiteouts in here are attributes, Linux 6.7.
    if (isDirectory && found.get(opaqueKey)?.toString("latin1") === "y") {
      yield marker(path === "" ? OPAQUE_NAME : `${path}/${OPAQUE_NAME}`, "opaque", index);
    }
  }
}

function typeOf(status: number): EntryType | undefined {
  switch (status & S_IFMT) {
    case S_IFREG:
      return "file";
    case S_IFDIR:
      return "directory";
    case S_IFLNK:
      return "symlink";
    case S_IFCHR:
      return "char";
    case S_IFBLK:
      return "block";
    case S_IFIFO:
      return "fifo";
    default:
      return undefined;
  }
}

/** Whiteouts are empty files of mode 0 and the epoch's time, as containerd writes them. */
function marker(path: string, mark: "whiteout" | "opaque", row: number): LayerEntry {
  return { entry: { ...NOTHING, path, type: "file", mode: 0 }, row, index: undefined, mark, attributes: NO_XATTRS };
}

function siblingPath(path: string, rename: (name: string) => string): string {
  const slash = path.lastIndexOf("/");
  return `${path.slice(0, slash + 1)}${rename(path.slice(slash + 1))}`;
}

function linkTargetOf({ native, dirfd, scan }: LayerEntryOptions, index: number, path: string): string {
  return scan.columns.links.length > 0 ? scan.linkTarget(index) : native.readlinkat(dirfd, path);
}

function readAttributes(native: Native, dirfd: number, path: string): ReadonlyMap<string, Buffer> {
  const found = new Map<string, Buffer>();
  for (const key of native.listXattrs(dirfd, path)) {
    const value = native.getXattr(dirfd, path, key);
    if (value !== undefined) found.set(key, value);
  }
  return found;
}

function withoutMarks(found: ReadonlyMap<string, Buffer>): ReadonlyMap<string, Buffer> {
  return new Map([...found].filter(([key]) => !/^(?:trusted|user)\.overlay\./.test(key) && key !== OWNER_XATTR));
}

function packedAttributes(
  found: ReadonlyMap<string, Buffer>,
  kept: "capability" | "user",
): ReadonlyMap<string, Buffer> {
  return new Map(
    [...found].filter(([key]) => key === "security.capability" || (kept === "user" && key.startsWith("user."))),
  );
}
