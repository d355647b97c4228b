import { messageOf } from "../../../lib/core/errors.ts";
import { debianLicense } from "./debian-licenses.ts";
import { paragraphs, type Fields } from "./fields.ts";
import type { ImageReader } from "./image-reader.ts";
import type { OperatingSystem, PackageList } from "./package-list.ts";

const STATUS = "var/lib/dpkg/status";
/** One file per package, in images without dpkg itself. */
const STATUS_PARTS = "var/lib/dpkg/status.d";
const MAX_STATUS_BYTES = 128 << 20;
const MAX_PART_BYTES = 1 << 20;

interface DebianScan {
  readonly reader: ImageReader;
  readonly list: PackageList;
  readonly system: OperatingSystem | undefined;
}

/** Adds the packages that dpkg has installed. */
export async function addDebianPackages(
  reader: ImageReader,
  list: PackageList,
  system: OperatingSystem | undefined,
  signal: AbortSignal,
): Promise<void> {
  const whole = reader.read(STATUS, MAX_STATUS_BYTES);
  const add = (bytes: Buffer, place: string): void => addStatus(bytes, place, { reader, list, system }, signal);
  if (whole !== undefined) add(whole, `/${STATUS}`);
  for (const name of await reader.list(STATUS_PARTS, signal)) {
    if (name.endsWith(".md5sums")) continue;
    const part = reader.read(`${STATUS_PARTS}/${name}`, MAX_PART_BYTES);
    if (part !== undefined) add(part, `/${STATUS_PARTS}/${name}`);
  }
}

function addStatus(bytes: Buffer, place: string, { reader, list, system }: DebianScan, signal: AbortSignal): void {
  for (const fields of paragraphs(bytes.toString("utf8"))) {
    signal.throwIfAborted();
    const name = fields.get("Package");
    const version = fields.get("Version");
    if (name === undefined || version === undefined || !isInstalled(fields)) continue;
    list.add({
      url: {
        type: "deb",
        namespace: system?.id ?? "debian",
        name,
        version,
        qualifiers: {
          arch: fields.get("Architecture"),
          distro: system === undefined ? undefined : distroOf(system),
          upstream: upstreamOf(fields.get("Source"), name),
        },
      },
      license: licenseOf(name, reader, list),
      supplier: fields.get("Maintainer"),
      place,
    });
  }
}

/** Reads a package's license. A file that cannot be read costs the license, not the package. */
function licenseOf(name: string, reader: ImageReader, list: PackageList): string | undefined {
  try {
    return debianLicense(reader, name);
  } catch (error) {
    list.warn(`/usr/share/doc/${name}/copyright could not be read: ${messageOf(error)}`);
    return undefined;
  }
}

/** Tells whether files of a package are there: after a removal, its configuration may be all that is left. */
function isInstalled(fields: Fields): boolean {
  // Files in status.d may be without one.
  const state = fields.get("Status")?.split(" ").at(-1) ?? "installed";
  return state !== "not-installed" && state !== "config-files";
}

/** Returns the source package with its version, where it has another name or version. `Source: glibc (2.36-9)` */
function upstreamOf(source: string | undefined, name: string): string | undefined {
  const [, upstream = "", version] = /^(\S+)(?:\s+\((\S+)\))?$/.exec(source ?? "") ?? [];
  if (upstream === "" || (upstream === name && version === undefined)) return undefined;
  return version === undefined ? upstream : `${upstream}@${version}`;
}

/** Writes a system as the qualifier of its packages: `debian-12`. */
export function distroOf({ id, version }: OperatingSystem): string {
  return version === "" ? id : `${id}-${version}`;
}
