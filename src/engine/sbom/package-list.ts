import { packageUrl, type PackageUrlParts } from "../../../lib/core/purl.ts";

/** A package that an image contains. */
export interface FoundPackage {
  readonly url: PackageUrlParts;
  /** The license in the package's own words. */
  readonly license?: string | undefined;
  /** The people or the organization that made the package for this system. */
  readonly supplier?: string | undefined;
  /** Path of the file that says so, from the root, with a slash in front. */
  readonly place: string;
}

/** A package with every place that it was found in. */
export interface ListedPackage extends Omit<FoundPackage, "place"> {
  readonly purl: string;
  /** Paths, at least one, in byte order; no more than `MAX_PLACES`. */
  readonly places: readonly string[];
}

/** The operating system of an image, from its os-release. */
export interface OperatingSystem {
  /** `debian` */
  readonly id: string;
  /** `12`; empty where it has none. */
  readonly version: string;
  readonly name: string;
}

/** The result of a scan. */
export interface Inventory {
  readonly system: OperatingSystem | undefined;
  readonly packages: readonly ListedPackage[];
  /** One sentence for each part of the image that could not be read. */
  readonly warnings: readonly string[];
}

const MAX_PACKAGES = 100_000;
const MAX_PLACES = 20;
const MAX_WARNINGS = 50;
/** Limit of a name or version: a longer one is no package of any manager. */
const MAX_TEXT = 512;

/** Collects packages: each once, however often it is found. */
export class PackageList {
  readonly #packages = new Map<string, Omit<ListedPackage, "places"> & { readonly places: Set<string> }>();
  readonly #warnings: string[] = [];
  #isFull = false;

  add({ place, ...found }: FoundPackage): void {
    const { name, version = "", namespace = "" } = found.url;
    if (name === "" || name.length > MAX_TEXT || version.length > MAX_TEXT || namespace.length > MAX_TEXT) return;
    const purl = packageUrl(found.url);
    const known = this.#packages.get(purl);
    if (known !== undefined) {
      if (known.places.size < MAX_PLACES) known.places.add(place);
      return;
    }
    if (this.#packages.size >= MAX_PACKAGES) {
      if (!this.#isFull) this.#warnings.push(`there are more than ${MAX_PACKAGES} packages; the others are missing`);
      this.#isFull = true;
      return;
    }
    const license = found.license?.slice(0, MAX_TEXT);
    const supplier = found.supplier?.slice(0, MAX_TEXT);
    this.#packages.set(purl, { ...found, license, supplier, purl, places: new Set([place]) });
  }

  /** Notes a part of the image that could not be read. */
  warn(sentence: string): void {
    if (this.#warnings.length < MAX_WARNINGS) this.#warnings.push(sentence);
    if (this.#warnings.length === MAX_WARNINGS) this.#warnings.push("there is more that could not be read");
  }

  /** Returns the packages in the order of their URLs. */
  finish(system: OperatingSystem | undefined): Inventory {
    const packages = [...this.#packages.values()]
      .map((found) => ({ ...found, places: [...found.places].toSorted() }))
      .toSorted((a, b) => (a.purl < b.purl ? -1 : 1));
    return { system, packages, warnings: this.#warnings };
  }
}
