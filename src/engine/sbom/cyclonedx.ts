import type { Json } from "../../../lib/core/json.ts";
import { hexOf } from "../../../lib/core/digest.ts";
import { type Bill, billId } from "./bill.ts";
import { isLicenseExpression } from "./licenses.ts";
import type { ListedPackage } from "./package-list.ts";
import type { BillParts } from "./spdx.ts";

/**
 * Makes the parts of a CycloneDX document.
 * @see https://cyclonedx.org/docs/1.6/json/
 */
export function cycloneDxParts(bill: Bill): BillParts {
  const { inventory, name, digest, created, toolVersion } = bill;
  const { system, packages, warnings } = inventory;
  return {
    head: {
      $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
      bomFormat: "CycloneDX",
      specVersion: "1.6",
      serialNumber: `urn:uuid:${billId(bill, "cyclonedx")}`,
      version: 1,
      metadata: {
        timestamp: created,
        tools: { components: [{ type: "application", name: "kiln", version: toolVersion }] },
        component: {
          "bom-ref": "image",
          type: "container",
          name,
          version: digest,
          hashes: [{ alg: "SHA-256", content: hexOf(digest) }],
        },
        ...(warnings.length === 0 ? {} : { properties: warnings.map((value) => ({ name: "kiln:not-read", value })) }),
      },
    },
    lists: {
      *components() {
        if (system !== undefined) {
          yield {
            "bom-ref": "os",
            type: "operating-system",
            name: system.id,
            ...(system.version === "" ? {} : { version: system.version }),
            description: system.name,
          };
        }
        for (const found of packages) yield componentOf(found);
      },
      *dependencies() {
        yield { ref: "image", dependsOn: packages.map(({ purl }) => purl) };
      },
    },
  };
}

function componentOf({ url, purl, license, places }: ListedPackage): Json {
  const { namespace = "", name, version = "", type } = url;
  // The namespace of a system's package is the system, which is no part of its name.
  const group = ["npm", "maven", "golang"].includes(type) && namespace !== "" ? { group: namespace } : {};
  return {
    "bom-ref": purl,
    type: "library",
    ...group,
    name,
    ...(version === "" ? {} : { version }),
    ...(license === undefined || license === "" ? {} : { licenses: licensesOf(license) }),
    purl,
    properties: places.map((value) => ({ name: "kiln:found-in", value })),
  };
}

function licensesOf(license: string): Json {
  if (!isLicenseExpression(license)) return [{ license: { name: license } }];
  return /\s/.test(license) ? [{ expression: license }] : [{ license: { id: license } }];
}
