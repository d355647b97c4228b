import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { distroOf } from "./debian.ts";
import type { ImageReader } from "./image-reader.ts";
import type { OperatingSystem, PackageList } from "./package-list.ts";
import { readRpmHeader } from "./rpm-header.ts";

const DIRECTORIES = ["usr/lib/sysimage/rpm", "var/lib/rpm", "usr/share/rpm"];
const SQLITE = "rpmdb.sqlite";
/** Databases in the forms that rpm had before, by the file that gives them away. */
const OLDER_FORMS = [
  { file: "Packages.db", form: "ndb" },
  { file: "Packages", form: "BerkeleyDB" },
] as const;
const MAX_DATABASE_BYTES = 1 << 30;
const MAX_HEADER_BYTES = 64 << 20;
const BLOCK = 1 << 20;

/** The place of rpm's database, and what is known of its system. */
interface RpmScan {
  readonly list: PackageList;
  readonly system: OperatingSystem | undefined;
  /** A directory for the copy of the database: SQLite opens files by name, and an image's file has none that is safe. */
  readonly temporaryDirectory: string;
}

/** Adds the packages that rpm has installed, from its SQLite database. Older forms are only named in a warning. */
export function addRpmPackages(reader: ImageReader, scan: RpmScan, signal: AbortSignal): void {
  for (const directory of DIRECTORIES) {
    const path = `${directory}/${SQLITE}`;
    if (reader.withFile(path, () => true) === true) {
      readDatabase(reader, path, scan, signal);
      return;
    }
    for (const { file, form } of OLDER_FORMS) {
      if (reader.withFile(`${directory}/${file}`, ({ sizeBytes }) => sizeBytes > 0) !== true) continue;
      scan.list.warn(
        `/${directory}/${file}: rpm's database is in its old form (${form}), which kiln does not read; its packages are missing`,
      );
      return;
    }
  }
}

function readDatabase(
  reader: ImageReader,
  path: string,
  { list, system, temporaryDirectory }: RpmScan,
  signal: AbortSignal,
): void {
  const directory = mkdtempSync(join(temporaryDirectory, "kiln-rpmdb-"));
  try {
    const copy = join(directory, SQLITE);
    copyOut(reader, path, copy);
    // Changes that were not merged into the database when the layer was made.
    copyOut(reader, `${path}-wal`, `${copy}-wal`);
    // Not imported: Node cannot build a startup snapshot that has loaded node:sqlite.
    const { DatabaseSync } = process.getBuiltinModule("node:sqlite");
    const database = new DatabaseSync(copy, { allowExtension: false });
    try {
      database.exec("PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;");
      const table = database.prepare("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'Packages'").get();
      if (!isPlainTable(table?.["sql"])) throw new Error("it has no table of packages");
      const rows = database
        .prepare(`SELECT blob FROM Packages WHERE typeof(blob) = 'blob' AND length(blob) <= ${MAX_HEADER_BYTES}`)
        .iterate();
      for (const row of rows) {
        signal.throwIfAborted();
        const blob = row["blob"];
        if (blob instanceof Uint8Array) addHeader(blob, `/${path}`, list, system);
      }
    } finally {
      database.close();
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Tells whether reading a table only reads: columns can be expressions, and tables programs. */
function isPlainTable(sql: unknown): boolean {
  return typeof sql === "string" && /^CREATE TABLE\b/i.test(sql) && !/\b(?:AS|GENERATED)\b/i.test(sql);
}

function addHeader(blob: Uint8Array, place: string, list: PackageList, system: OperatingSystem | undefined): void {
  const header = readRpmHeader(blob);
  // Keys for signatures are kept as packages.
  if (header === undefined || header.name === "gpg-pubkey") return;
  const { name, version, release, epoch, arch, license, vendor, sourceRpm } = header;
  list.add({
    url: {
      type: "rpm",
      namespace: system?.id,
      name,
      version: release === "" ? version : `${version}-${release}`,
      qualifiers: {
        arch,
        distro: system === undefined ? undefined : distroOf(system),
        epoch: epoch === undefined ? undefined : String(epoch),
        upstream: sourceRpm,
      },
    },
    license,
    supplier: vendor === undefined ? undefined : `Organization: ${vendor}`,
    place,
  });
}

function copyOut(reader: ImageReader, path: string, destination: string): void {
  reader.withFile(path, (file) => {
    if (file.sizeBytes > MAX_DATABASE_BYTES) throw new Error(`it is larger than ${MAX_DATABASE_BYTES} bytes`);
    const fd = openSync(destination, "wx", 0o600);
    try {
      for (let at = 0; at < file.sizeBytes; at += BLOCK) writeSync(fd, file.read(at, BLOCK));
    } finally {
      closeSync(fd);
    }
  });
}
