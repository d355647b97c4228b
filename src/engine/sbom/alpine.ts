import { distroOf } from "./debian.ts";
import { paragraphs } from "./fields.ts";
import type { ImageReader } from "./image-reader.ts";
import type { OperatingSystem, PackageList } from "./package-list.ts";

/** Places of apk's list: before and after the root's directories moved below `usr`. */
const DATABASES = ["lib/apk/db/installed", "usr/lib/apk/db/installed"];
const MAX_BYTES = 128 << 20;

/**
 * Adds the packages that apk has installed. P: name, V: version, A: architecture, L: license, o: source package, m: maintainer.
 * @see https://wiki.alpinelinux.org/wiki/Apk_spec
 */
export function addAlpinePackages(reader: ImageReader, list: PackageList, system: OperatingSystem | undefined): void {
  for (const path of DATABASES) {
    const bytes = reader.read(path, MAX_BYTES);
    if (bytes === undefined) continue;
    for (const fields of paragraphs(bytes.toString("utf8"))) {
      const name = fields.get("P");
      const version = fields.get("V");
      if (name === undefined || version === undefined) continue;
      const origin = fields.get("o");
      list.add({
        url: {
          type: "apk",
          namespace: system?.id ?? "alpine",
          name,
          version,
          qualifiers: {
            arch: fields.get("A"),
            distro: system === undefined ? undefined : distroOf(system),
            upstream: origin === name ? undefined : origin,
          },
        },
        license: fields.get("L"),
        supplier: fields.get("m"),
        place: `/${path}`,
      });
    }
    // One is often a link to the other.
    return;
  }
}
