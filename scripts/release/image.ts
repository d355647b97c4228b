import { cpSync, existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Machine, runner } from "./machines.ts";
import { ROOT, run, WORK } from "./shell.ts";

const PACKAGES = ["busybox-static", "git", "ca-certificates", "uidmap"];
const SUITE = "bookworm";

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
    `--label=org.opencontainers.image.title=kiln`,
    "--label=org.opencontainers.image.licenses=Apache-2.0",
    `--tag=kiln:${release.version}`,
    `--output=type=oci,dest=${release.file},rewrite-timestamp=true`,
    "--progress=plain",
    context,
  ];
  run([join(ROOT, "bin/kiln"), "--root", join(WORK, "store"), ...words], { env: { SOURCE_DATE_EPOCH: release.date } });
}

/** Makes the little system around kiln: Debian's packages, unpacked but not installed, without what a build never reads. */
function systemRoot(machine: Machine, date: string): string {
  const file = join(WORK, "cache", `root-${machine.debian}-${SUITE}.tar`);
  if (existsSync(file)) return file;
  mkdirSync(join(WORK, "cache"), { recursive: true });
  const finish = join(ROOT, "scripts/release/image/finish-root.sh");
  const emulator = runner(machine).join(" ");
  run(
    [
      "mmdebstrap",
      "--variant=extract",
      `--architectures=${machine.debian}`,
      `--include=${PACKAGES.join(",")}`,
      `--customize-hook=${finish} "$1" ${emulator}`,
      SUITE,
      `${file}.new.tar`,
      "http://deb.debian.org/debian",
    ],
    { env: { SOURCE_DATE_EPOCH: date } },
  );
  run(["mv", `${file}.new.tar`, file]);
  return file;
}
