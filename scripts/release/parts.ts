import { createHash } from "node:crypto";
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { isNative, LIBRARIES, libraryFolders, type Machine, runner } from "./machines.ts";
import { ROOT, run, WORK } from "./shell.ts";

/** Makes the files that differ between machines, in build/release/ARCH: runtime, addon, snapshot, Node, libraries. */
export function makeParts(machine: Machine): void {
  const folder = partsFolder(machine);
  mkdirSync(join(folder, "lib"), { recursive: true });
  const prefix = isNative(machine) ? "" : `${machine.triple}-`;
  const compiler = `CC=${prefix === "" ? "cc" : `${prefix}gcc`}`;
  // make takes a blank for the end of a name, so no path from the root of the disk may be in one.
  for (const sources of ["solver/runtime/program", "lib/native"])
    run(["make", "-s", "-C", sources, `OUT=${relative(join(ROOT, sources), folder)}`, compiler]);
  run([`${prefix}strip`, "--strip-all", join(folder, "kiln-runtime")]);
  run([`${prefix}strip`, "--strip-unneeded", join(folder, "kiln.node")]);
  const node = findNode(machine);
  makeSnapshot(machine, node, join(folder, "kiln.blob"));
  copyFileSync(node, join(folder, "lib/node"));
  chmodSync(join(folder, "lib/node"), 0o755);
  run([`${prefix}strip`, join(folder, "lib/node")]);
  copyLibrary(machine, machine.loader, "ld.so");
  for (const name of LIBRARIES) copyLibrary(machine, name, name);
}

export function partsFolder({ arch }: Machine): string {
  return join(WORK, arch);
}

/** Finds the pinned Node of a machine; npm installs only one, and the other comes from the same registry. */
export function findNode(machine: Machine): string {
  const name = `node-linux-${machine.arch}`;
  const installed = join(ROOT, "node_modules", name, "bin/node");
  if (existsSync(installed)) return installed;
  const cache = join(WORK, "cache", name);
  const cached = join(cache, "package/bin/node");
  if (existsSync(cached)) return cached;
  rmSync(cache, { recursive: true, force: true });
  mkdirSync(cache, { recursive: true });
  const { version, integrity } = locked(name);
  run(["npm", "pack", "--silent", `${name}@${version}`, "--pack-destination", cache]);
  const archive = join(cache, `${name}-${version}.tgz`);
  const found = `sha512-${createHash("sha512").update(readFileSync(archive)).digest("base64")}`;
  if (found !== integrity) throw new Error(`release: ${archive} is not the package of package-lock.json`);
  run(["tar", "-xzf", archive, "-C", cache, "package/bin/node", "package/LICENSE"]);
  return cached;
}

function locked(name: string): { readonly version: string; readonly integrity: string } {
  const text = readFileSync(join(ROOT, "package-lock.json"), "utf8");
  const [, version, integrity] =
    new RegExp(
      `"node_modules/${name}": \\{\\s*"version": "([^"]+)",(?:\\s*"resolved": "[^"]+",)?\\s*"integrity": "([^"]+)"`,
    ).exec(text) ?? [];
  if (version === undefined || integrity === undefined) throw new Error(`release: package-lock.json has no ${name}`);
  return { version, integrity };
}

/** Makes the start-up snapshot with that machine's Node: it is bound to both. */
function makeSnapshot(machine: Machine, node: string, blob: string): void {
  const script = "/proc/self/cwd/scripts/snapshot.cjs";
  // Relative: the file remembers what it was called, and is to be the same in every folder.
  const name = relative(ROOT, `${blob}.new`);
  const flags = ["--no-warnings", "--random-seed=1", "--snapshot-blob", name, "--build-snapshot", script];
  run([...runner(machine), node, ...flags]);
  run(["sh", "scripts/pinned.sh", "node", "scripts/slim-snapshot.mjs", `${blob}.new`]);
  renameSync(`${blob}.new`, blob);
}

function copyLibrary(machine: Machine, name: string, target: string): void {
  const found = libraryFolders(machine)
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path));
  if (found === undefined)
    throw new Error(`release: ${name} of ${machine.triple} is missing; scripts/release/README.md lists what is needed`);
  const path = join(partsFolder(machine), "lib", target);
  copyFileSync(found, path);
  chmodSync(path, target === "ld.so" ? 0o755 : 0o644);
}
