import { copyFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { ROOT, run, WORK } from "./shell.ts";

/** Debian's packages with the libraries that the archives bring for Node. */
const PACKAGES = ["libc6", "libgcc-s1", "libstdc++6"];

/**
 * Writes the bill of materials of kiln, as CycloneDX, made by kiln: of a small image with the lists of what the bundles and archives
 * hold.
 */
export function makeSbom(release: { readonly file: string; readonly version: string; readonly date: string }): void {
  const context = join(WORK, "sbom");
  rmSync(context, { recursive: true, force: true });
  for (const folder of ["opt/kiln", "var/lib/dpkg", "etc"]) mkdirSync(join(context, folder), { recursive: true });
  copyFileSync(join(ROOT, "package-lock.json"), join(context, "opt/kiln/package-lock.json"));
  copyFileSync("/etc/os-release", join(context, "etc/os-release"));
  writeFileSync(join(context, "var/lib/dpkg/status"), run(["dpkg-query", "--status", ...PACKAGES]));
  writeFileSync(join(context, "Dockerfile"), "FROM scratch\nCOPY opt /opt\nCOPY var /var\nCOPY etc /etc\n");
  const kiln = [join(ROOT, "bin/kiln"), "--root", join(WORK, "store")];
  const name = `kiln:${release.version}`;
  const env = { SOURCE_DATE_EPOCH: release.date };
  run([...kiln, "build", "--reproducible", "--quiet", `--tag=${name}`, context], { env });
  // Beside the working directory, whatever the folder is called.
  run([...kiln, "sbom", "--format=cyclonedx", `--output=${basename(release.file)}`, name], {
    cwd: dirname(release.file),
    env,
  });
}
