import type { Json } from "../../../lib/core/json.ts";
import { hexOf } from "../../../lib/core/digest.ts";
import { type Bill, billId } from "./bill.ts";
import { isLicenseExpression } from "./licenses.ts";
import type { ListedPackage } from "./package-list.ts";

const IMAGE = "SPDXRef-Image";
/** Document of which packages are part; both lists are made one by one. */
export interface BillParts {
  /** Members in front of the lists. */
  readonly head: { readonly [name: string]: Json };
  readonly lists: Readonly<Record<string, () => Iterable<Json>>>;
}

/**
 * Makes the parts of an SPDX document.
 * @see https://spdx.github.io/spdx-spec/v2.3/
 */
export function spdxParts(bill: Bill): BillParts {
  const { inventory, name, created, toolVersion } = bill;
  const { packages, warnings } = inventory;
  const idOf = (index: number): string => `SPDXRef-Package-${index + 1}`;
  return {
    head: {
      spdxVersion: "SPDX-2.3",
      dataLicense: "CC0-1.0",
      SPDXID: "SPDXRef-DOCUMENT",
      name,
      documentNamespace: `https://spdx.org/spdxdocs/kiln-${billId(bill, "spdx")}`,
      creationInfo: { created, creators: [`Tool: kiln-${toolVersion}`] },
      ...(warnings.length === 0 ? {} : { comment: `Not all was read: ${warnings.join("; ")}` }),
    },
    lists: {
      *packages() {
        yield imagePackage(bill);
        for (const [index, found] of packages.entries()) yield packageOf(found, idOf(index));
      },
      *relationships() {
        yield relationship("SPDXRef-DOCUMENT", "DESCRIBES", IMAGE);
        for (const index of packages.keys()) yield relationship(IMAGE, "CONTAINS", idOf(index));
      },
    },
  };
}

function imagePackage({ name, digest, inventory: { system } }: Bill): Json {
  return {
    name,
    SPDXID: IMAGE,
    versionInfo: digest,
    downloadLocation: "NOASSERTION",
    filesAnalyzed: false,
    checksums: [{ algorithm: "SHA256", checksumValue: hexOf(digest) }],
    primaryPackagePurpose: "CONTAINER",
    ...(system === undefined ? {} : { comment: `Operating system: ${system.name}` }),
    ...NO_LICENSE,
  };
}

const NO_LICENSE = { licenseConcluded: "NOASSERTION", licenseDeclared: "NOASSERTION", copyrightText: "NOASSERTION" };

function packageOf({ url, purl, license, supplier, places }: ListedPackage, id: string): Json {
  const isExpression = license !== undefined && isLicenseExpression(license);
  return {
    name: fullName(url),
    SPDXID: id,
    ...(url.version === undefined || url.version === "" ? {} : { versionInfo: url.version }),
    supplier: supplierOf(supplier),
    downloadLocation: "NOASSERTION",
    filesAnalyzed: false,
    sourceInfo: `found in ${places.join(", ")}`,
    ...NO_LICENSE,
    ...(isExpression ? { licenseDeclared: license } : {}),
    ...(license === undefined || isExpression ? {} : { licenseComments: `Declared by the package: ${license}` }),
    externalRefs: [{ referenceCategory: "PACKAGE-MANAGER", referenceType: "purl", referenceLocator: purl }],
  };
}

/** Writes a package's name as its own ecosystem does. */
function fullName({ type, namespace = "", name }: ListedPackage["url"]): string {
  if (namespace === "") return name;
  if (type === "maven") return `${namespace}:${name}`;
  return type === "npm" || type === "golang" ? `${namespace}/${name}` : name;
}

/** Writes a supplier: `Person: name (mail)` or `Organization: name`. */
function supplierOf(supplier: string | undefined): string {
  if (supplier === undefined || supplier === "") return "NOASSERTION";
  if (supplier.startsWith("Organization: ")) return supplier;
  const [, name, mail] = /^(.*?)\s*<([^<>]*)>$/.exec(supplier) ?? [];
  return name === undefined || name === "" ? `Person: ${supplier}` : `Person: ${name} (${mail})`;
}

function relationship(from: string, relationshipType: string, to: string): Json {
  return { spdxElementId: from, relationshipType, relatedSpdxElement: to };
}
