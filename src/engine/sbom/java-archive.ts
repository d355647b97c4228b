import { type ByteSource, bytesSource } from "./image-reader.ts";
import type { PackageList } from "./package-list.ts";
import { readZipEntry, storedEntry, type ZipEntry, zipEntries } from "./zip.ts";

const ARCHIVE = /\.(?:jar|war|ear|hpi|jpi|par|sar|nar|lpkg)$/i;
const PROPERTIES = /^META-INF\/maven\/[^/]+\/[^/]+\/pom\.properties$/;
const MAX_PROPERTIES_BYTES = 64 << 10;
/** Limit of a compressed archive in an archive, which has to be in memory. */
const MAX_INNER_BYTES = 128 << 20;
/** Applications in one file hold archives; a server's package may hold applications. */
const MAX_DEPTH = 3;
/** Limits over all archives in one file. */
const MAX_ENTRIES = 500_000;
const MAX_INNER_TOTAL_BYTES = 1 << 30;

/** Tells whether a file is a Java archive, by its name. */
export function isJavaArchive(path: string): boolean {
  return ARCHIVE.test(path);
}

/** Adds the Maven artifacts of an archive and of the archives in it. */
export function addJavaPackages(file: ByteSource, place: string, list: PackageList): void {
  addArchive(file, place, { list, entries: 0, innerBytes: 0 }, 1);
}

interface ArchiveScan {
  readonly list: PackageList;
  /** Entries and bytes of compressed archives read so far. */
  entries: number;
  innerBytes: number;
}

function addArchive(file: ByteSource, place: string, scan: ArchiveScan, depth: number): void {
  for (const entry of zipEntries(file)) {
    scan.entries += 1;
    if (scan.entries > MAX_ENTRIES) return;
    if (PROPERTIES.test(entry.name)) addArtifact(readZipEntry(file, entry, MAX_PROPERTIES_BYTES), place, scan.list);
    else if (depth < MAX_DEPTH && isJavaArchive(entry.name)) {
      const inner = storedEntry(file, entry) ?? compressedEntry(file, entry, scan);
      if (inner !== undefined) addArchive(inner, `${place}!/${entry.name}`, scan, depth + 1);
    }
  }
}

function compressedEntry(file: ByteSource, entry: ZipEntry, scan: ArchiveScan): ByteSource | undefined {
  if (scan.innerBytes + entry.sizeBytes > MAX_INNER_TOTAL_BYTES) return undefined;
  const bytes = readZipEntry(file, entry, MAX_INNER_BYTES);
  scan.innerBytes += bytes?.length ?? 0;
  return bytes === undefined ? undefined : bytesSource(bytes);
}

function addArtifact(bytes: Buffer | undefined, place: string, list: PackageList): void {
  const values = new Map<string, string>();
  for (const line of bytes?.toString("utf8").split(/\r?\n/) ?? []) {
    const [, key, value] = /^\s*(groupId|artifactId|version)\s*[=:]\s*(\S+)\s*$/.exec(line) ?? [];
    if (key !== undefined && value !== undefined) values.set(key, value);
  }
  const name = values.get("artifactId");
  if (name === undefined) return;
  list.add({ url: { type: "maven", namespace: values.get("groupId"), name, version: values.get("version") }, place });
}
