import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { type Machine, runner } from "./machines.ts";
import { releaseCommit, ROOT, run, WORK } from "./shell.ts";

const PACKAGES = ["busybox-static", "git", "ca-certificates", "uidmap"];
/** What the packages were unpacked with, which needs it until the end. */
const PACKAGE_MANAGER = ["etc/apt", "var/lib/apt", "var/lib/dpkg", "var/cache", "var/log"];
const SUITE = "bookworm";
/** A larger system around kiln holds what no build reads. */
const MOST_ROOT_BYTES = 56 << 20;

/** Builds kiln's container image with kiln, from the archives' folders, as an OCI archive. */
export function makeImage(
  machines: readonly Machine[],
  folders: ReadonlyMap<Machine, string>,
  release: { readonly file: string; readonly version: string; readonly date: string },
): void {
  const context = join(WORK, "image");
  rmSync(context, { recursive: true, force: true });
  mkdirSync(context, { recursive: true });
  cpSync(join(ROOT, "scripts/release/image"), context, { recursive: true });
  for (const machine of machines) {
    const folder = folders.get(machine);
    if (folder === undefined) throw new Error(`release: the image needs the archive of ${machine.arch}`);
    cpSync(folder, join(context, `kiln-${machine.debian}`), { recursive: true });
    cpSync(systemRoot(machine, release.date), join(context, `root-${machine.debian}.tar`));
  }
  const words = [
    "build",
    "--reproducible",
    `--platform=${machines.map(({ debian }) => `linux/${debian}`).join(",")}`,
    `--label=org.opencontainers.image.version=${release.version}`,
    `--label=org.opencontainers.image.revision=${releaseCommit()}`,
    `--label=org.opencontainers.image.title=kiln`,
    "--label=org.opencontainers.image.licenses=Apache-2.0",
    `--tag=kiln:${release.version}`,
    `--output=type=oci,dest=${basename(release.file)},rewrite-timestamp=true`,
    "--progress=plain",
    context,
  ];
  run([join(ROOT, "bin/kiln"), "--root", join(WORK, "store"), ...words], {
    // The archive's name stands in a list with commas: the folder's may have some too.
    cwd: dirname(release.file),
    env: { SOURCE_DATE_EPOCH: release.date },
  });
}

/** Makes the little system around kiln: Debian's packages, unpacked but not installed, without what a build never reads. */
function systemRoot(machine: Machine, date: string): string {
  const finish = join(ROOT, "scripts/release/image/finish-root.sh");
  const made = createHash("sha256")
    .update(JSON.stringify([SUITE, PACKAGES, date]))
    .update(readFileSync(finish));
  const file = join(WORK, "cache", `root-${machine.debian}-${made.digest("hex").slice(0, 16)}.tar`);
  if (existsSync(file)) return file;
  const whole = `${file}.whole.tar`;
  mkdirSync(join(WORK, "cache"), { recursive: true });
  run(
    [
      "mmdebstrap",
      "--variant=extract",
      `--architectures=${machine.debian}`,
      `--include=${PACKAGES.join(",")}`,
      // The only hook after the packages that this variant runs. By environment: the hook is a line for a shell.
      `--extract-hook="$KILN_FINISH" "$1" ${runner(machine).join(" ")}`,
      SUITE,
      whole,
      "http://deb.debian.org/debian",
    ],
    { env: { SOURCE_DATE_EPOCH: date, KILN_FINISH: finish } },
  );
  const excluded = PACKAGE_MANAGER.flatMap((path) => [`--path-exclude=/${path}`, `--path-exclude=/${path}/*`]);
  run([
    "sh",
    "-c",
    'in=$1 out=$2 && shift 2 && mmtarfilter "$@" <"$in" >"$out"',
    "sh",
    whole,
    `${file}.new`,
    ...excluded,
  ]);
  rmSync(whole);
  checkRoot(`${file}.new`);
  renameSync(`${file}.new`, file);
  return file;
}

/** @throws {Error} when the archive is no system that the image's entry point starts in, or one that was not cut down */
function checkRoot(file: string): void {
  const names = new Set(run(["tar", "-tf", file]).split("\n"));
  for (const name of [
    "bin/sh",
    "usr/bin/env",
    "usr/bin/git",
    "usr/bin/newuidmap",
    "etc/passwd",
    "usr/local/bin/kiln",
  ]) {
    if (!names.has(`./${name}`)) throw new Error(`release: ${file} has no ${name}`);
  }
  const sizeBytes = statSync(file).size;
  if (sizeBytes > MOST_ROOT_BYTES)
    throw new Error(`release: ${file} has ${sizeBytes} bytes, more than ${MOST_ROOT_BYTES}`);
}
