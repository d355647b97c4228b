// Makes all published files in dist/: see README.md.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { VERSION } from "../../lib/core/version.ts";
import { pack } from "./archive.ts";
import { makeImage } from "./image.ts";
import { MACHINES, type Machine } from "./machines.ts";
import { makeParts } from "./parts.ts";
import { makeSbom } from "./sbom.ts";
import { releaseDate, ROOT, run, WORK } from "./shell.ts";
import { stageArchive, stagePackage } from "./stage.ts";

/** An archive larger than this is a mistake: its download takes too long. In bytes. */
const MOST_BYTES = 35 * 1024 * 1024;

const { values } = parseArgs({
  options: {
    only: { type: "string", default: "npm,archive,image,sbom" },
    arch: { type: "string", default: "x64,arm64" },
    out: { type: "string", default: join(ROOT, "dist") },
  },
});
const wanted = new Set(values.only.split(","));
const machines = MACHINES.filter(({ arch }) => values.arch.split(",").includes(arch));
const out = resolve(values.out);
const date = releaseDate();
const made: string[] = [];
const say = (text: string): void => void process.stderr.write(`release: ${text}\n`);

mkdirSync(out, { recursive: true });
mkdirSync(WORK, { recursive: true });
run(["sh", "scripts/pinned.sh", "node", "scripts/licences.ts", join(WORK, "licences")]);
run(["sh", "scripts/pinned.sh", "node", "scripts/man.ts"], { env: { SOURCE_DATE_EPOCH: date } });
for (const machine of machines) {
  say(`parts for ${machine.arch}`);
  makeParts(machine);
}

if (wanted.has("npm")) {
  say("npm package");
  file(`kiln-${VERSION}.tgz`, (path) => pack(stagePackage(machines), path, date));
}

const folders = new Map<Machine, string>();
for (const machine of machines) {
  if (!wanted.has("archive") && !wanted.has("image")) break;
  const folder = stageArchive(machine, VERSION);
  folders.set(machine, folder);
  if (!wanted.has("archive")) continue;
  say(`archive for ${machine.arch}`);
  file(`${basename(folder)}.tar.xz`, (path) => pack(folder, path, date));
}

if (wanted.has("image")) {
  say("container image");
  file(`kiln-${VERSION}-image.tar`, (path) => makeImage(machines, folders, { file: path, version: VERSION, date }));
}

if (wanted.has("sbom")) {
  say("bill of materials");
  file(`kiln-${VERSION}.cdx.json`, (path) => makeSbom({ file: path, version: VERSION, date }));
}

const sums = made.map(
  (path) => `${createHash("sha256").update(readFileSync(path)).digest("hex")}  ${basename(path)}\n`,
);
writeFileSync(join(out, "SHA256SUMS"), sums.join(""));
process.stdout.write(sums.join(""));

function file(name: string, write: (path: string) => void): void {
  const path = join(out, name);
  write(path);
  made.push(path);
  const sizeBytes = statSync(path).size;
  say(`  ${name}, ${(sizeBytes / 1024 / 1024).toFixed(1)} MB`);
  if (name.endsWith(".tar.xz") && sizeBytes > MOST_BYTES) throw new Error(`release: ${name} is larger than 35 MB`);
}
