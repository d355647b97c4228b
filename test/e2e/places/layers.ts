import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { TarEntry } from "../../../lib/tar/entry.ts";
import { TarReader } from "../../../lib/tar/read.ts";

/** A layer as an image has it. */
export interface Layer {
  readonly digest: string;
  /** One line for each member: everything that a tar says of it. */
  readonly entries: readonly string[];
}

/** Reads the uncompressed layers of an archive in the OCI layout, lowest first. */
export function layersOf(archive: string): readonly Layer[] {
  const blobs = new Map<string, Buffer>(membersOf(readFileSync(archive)).map(({ entry, data }) => [entry.path, data]));
  const json = (path: string): { manifests?: { digest: string }[]; layers?: { digest: string }[] } =>
    JSON.parse((blobs.get(path) ?? Buffer.from("{}")).toString());
  const pathOf = (digest: string): string => `blobs/${digest.replace(":", "/")}`;
  const manifest = json("index.json").manifests?.[0]?.digest ?? "";
  return (json(pathOf(manifest)).layers ?? []).map(({ digest }) => ({
    digest,
    entries: membersOf(blobs.get(pathOf(digest)) ?? Buffer.alloc(0)).map(lineOf),
  }));
}

interface Member {
  readonly entry: TarEntry;
  readonly data: Buffer;
}

function membersOf(tar: Buffer): readonly Member[] {
  const reader = new TarReader();
  const members: { entry: TarEntry; parts: Buffer[] }[] = [];
  for (const event of reader.push(tar)) {
    if (event.kind === "entry") members.push({ entry: event.entry, parts: [] });
    else if (event.kind === "data") members.at(-1)?.parts.push(Buffer.from(event.bytes));
  }
  reader.finish();
  return members.map(({ entry, parts }) => ({ entry, data: Buffer.concat(parts) }));
}

function lineOf({ entry, data }: Member): string {
  const { path, type, mode, uid, gid, mtimeNs, linkName, deviceMajor, deviceMinor, xattrs } = entry;
  const device = /device/.test(type) ? ` ${deviceMajor},${deviceMinor}` : "";
  const link = linkName === "" ? "" : ` -> ${linkName}`;
  const content =
    data.length === 0 ? "" : ` ${data.length}:${createHash("sha256").update(data).digest("hex").slice(0, 8)}`;
  const attributes = [...xattrs]
    .map(([key, value]) => ` ${key}=${value.toString("hex")}`)
    .toSorted()
    .join("");
  const seconds = mtimeNs / 1_000_000_000n;
  return `${path} ${type} ${mode.toString(8)} ${uid}:${gid} @${seconds}${device}${link}${content}${attributes}`;
}
