import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { bundleFiles, libraryFiles, PAGES, PARTS, publishedManifest } from "./contents.ts";
import { LIBRARIES, type Machine } from "./machines.ts";
import { findNode, partsFolder } from "./parts.ts";
import { releaseCommit, releaseDate, ROOT, WORK } from "./shell.ts";

const BUILD = join(ROOT, "build");

/** Lays out the npm package in a folder of its own. */
export function stagePackage(machines: readonly Machine[]): string {
  const folder = emptied("npm/package");
  const built = builtFiles();
  const manuals = readdirSync(join(BUILD, "man")).toSorted();
  stageShared(folder, built, manuals);
  for (const path of libraryFiles(built)) put(join(BUILD, path), join(folder, "build", path));
  for (const machine of machines) stageParts(machine, join(folder, "build", machine.arch));
  const manifest: unknown = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  if (typeof manifest !== "object" || manifest === null) throw new Error("release: package.json is no object");
  write(join(folder, "package.json"), publishedManifest({ ...manifest }, manuals, releaseCommit()));
  return folder;
}

/** Lays out the archive of one machine. */
export function stageArchive(machine: Machine, version: string): string {
  const folder = emptied(`${machine.arch}-archive/kiln-${version}-linux-${machine.arch}`);
  stageShared(folder, builtFiles(), readdirSync(join(BUILD, "man")).toSorted());
  stageParts(machine, join(folder, "build"));
  const libraries = join(partsFolder(machine), "lib");
  for (const name of ["node", "ld.so"]) put(join(libraries, name), join(folder, "lib", name), 0o755);
  for (const name of LIBRARIES) put(join(libraries, name), join(folder, "lib", name));
  put(join(dirname(dirname(findNode(machine))), "LICENSE"), join(folder, "licences/node"));
  for (const [name, packages] of [
    ["glibc", ["libc6", `libc6-${machine.debian}-cross`]],
    ["gcc", ["libgcc-s1", `libgcc-s1-${machine.debian}-cross`, "gcc-12-base"]],
  ] as const) {
    const found = packages.map((one) => `/usr/share/doc/${one}/copyright`).find((path) => existsSync(path));
    if (found !== undefined) put(found, join(folder, "licences", name));
  }
  return folder;
}

function stageShared(folder: string, built: readonly string[], manuals: readonly string[]): void {
  put(join(ROOT, "bin/kiln"), join(folder, "bin/kiln"), 0o755);
  for (const page of PAGES) put(join(ROOT, page), join(folder, page));
  for (const path of bundleFiles(built)) put(join(BUILD, path), join(folder, "build", path));
  for (const name of manuals) put(join(BUILD, "man", name), join(folder, "share/man/man1", name));
  put(join(WORK, "licences"), join(folder, "licences/packages"));
  const date = new Date(Number(releaseDate()) * 1000).toISOString();
  write(join(folder, "build/release.json"), `${JSON.stringify({ commit: releaseCommit(), date })}\n`);
}

function stageParts(machine: Machine, folder: string): void {
  for (const name of PARTS)
    put(join(partsFolder(machine), name), join(folder, name), name === "kiln-runtime" ? 0o755 : 0o644);
}

function builtFiles(): readonly string[] {
  return readdirSync(BUILD, { recursive: true, encoding: "utf8" }).filter((path) => !path.startsWith("release"));
}

function emptied(name: string): string {
  const folder = join(WORK, name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** Copies a file with a mode of its own: the building process may have any umask. */
export function put(from: string, path: string, mode = 0o644): void {
  mkdirSync(dirname(path), { recursive: true });
  copyFileSync(from, path);
  chmodSync(path, mode);
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  chmodSync(path, 0o644);
}
