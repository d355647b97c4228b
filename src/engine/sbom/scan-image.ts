import { setImmediate as nextTurn } from "node:timers/promises";
import { BuildError } from "../../../lib/core/errors.ts";
import { printableName } from "../../../lib/native/names.ts";
import type { SourceView } from "../../../lib/tree/source-view.ts";
import { addAlpinePackages } from "./alpine.ts";
import { addDebianPackages } from "./debian.ts";
import { addGoPackages } from "./go-binary.ts";
import { ImageReader, type WalkedFile } from "./image-reader.ts";
import { addJavaPackages, isJavaArchive } from "./java-archive.ts";
import { addNpmPackages, isNpmFile } from "./npm.ts";
import { type Inventory, type OperatingSystem, PackageList } from "./package-list.ts";
import { addPythonPackage, isPythonMetadata } from "./python.ts";
import { addRpmPackages } from "./rpm.ts";

const RELEASES = ["etc/os-release", "usr/lib/os-release"];
const MAX_RELEASE_BYTES = 64 << 10;
const MAX_PATH = 4096;
/** Smaller files are no programs that Go has linked. */
const LEAST_PROGRAM_BYTES = 4096;
const ANY_EXECUTE = 0o111;
/** Files between two looks at the signal and at other work of the process. */
const FILES_PER_TURN = 256;

/** Lists the packages of an image. The order and the content depend on the image's files alone. */
export async function scanImage(
  { view }: { readonly view: SourceView },
  parts: { readonly temporaryDirectory: string },
  signal: AbortSignal,
): Promise<Inventory> {
  const reader = new ImageReader(view);
  const list = new PackageList();
  const system = attempt(list, "/etc/os-release", () => readSystem(reader));
  await attemptLater(list, "/var/lib/dpkg", () => addDebianPackages(reader, list, system, signal));
  attempt(list, "/lib/apk/db/installed", () => addAlpinePackages(reader, list, system));
  const { temporaryDirectory } = parts;
  attempt(list, "rpm's database", () => addRpmPackages(reader, { list, system, temporaryDirectory }, signal));
  let count = 0;
  for await (const file of reader.walk(signal)) {
    count += 1;
    if (count % FILES_PER_TURN === 0) await nextTurn(undefined, { signal });
    if (file.path.length <= MAX_PATH) attempt(list, `/${printableName(file.path)}`, () => addFile(reader, file, list));
  }
  signal.throwIfAborted();
  return list.finish(system);
}

function addFile(reader: ImageReader, { path, node }: WalkedFile, list: PackageList): void {
  const place = `/${printableName(path)}`;
  if (isNpmFile(path)) addNpmPackages(reader, path, list);
  else if (isPythonMetadata(path)) addPythonPackage(reader, path, list);
  else if (isJavaArchive(path)) reader.withFile(path, (file) => addJavaPackages(file, place, list));
  else if ((node.mode & ANY_EXECUTE) !== 0 && node.sizeBytes >= LEAST_PROGRAM_BYTES)
    reader.withFile(path, (file) => addGoPackages(file, place, list));
}

/** Reads os-release: the lines `NAME=value`, the value quoted or not. */
function readSystem(reader: ImageReader): OperatingSystem | undefined {
  for (const path of RELEASES) {
    const text = reader.read(path, MAX_RELEASE_BYTES)?.toString("utf8");
    if (text === undefined) continue;
    const values = new Map<string, string>();
    for (const line of text.split("\n")) {
      const [, key, , value] = /^([A-Z_]+)=(["']?)(.*)\2\s*$/.exec(line) ?? [];
      if (key !== undefined && value !== undefined) values.set(key, value.replaceAll(/\\(.)/g, "$1"));
    }
    const id = values.get("ID") ?? "";
    if (!/^[a-z0-9._-]{1,64}$/.test(id)) continue;
    const version = (values.get("VERSION_ID") ?? "").slice(0, 64);
    return { id, version, name: (values.get("PRETTY_NAME") ?? values.get("NAME") ?? id).slice(0, 200) };
  }
  return undefined;
}

/** Does one part of the scan: what it cannot read is one warning. */
function attempt<T>(list: PackageList, place: string, work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    list.warn(failure(place, error));
    return undefined;
  }
}

async function attemptLater(list: PackageList, place: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    list.warn(failure(place, error));
  }
}

/** Says why a part could not be read. A stop of the whole command is no such reason. */
function failure(place: string, error: unknown): string {
  if (error instanceof BuildError) return `${place} could not be read: ${error.message}`;
  if (error instanceof Error && error.name !== "AbortError") return `${place} could not be read: ${error.message}`;
  throw error;
}
