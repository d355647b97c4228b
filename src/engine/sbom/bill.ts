import { createHash } from "node:crypto";
import type { Digest } from "../../../lib/core/digest.ts";
import type { Inventory } from "./package-list.ts";

/** Everything that a document about an image's packages says. */
export interface Bill {
  readonly inventory: Inventory;
  /** The image's name; its digest where it has none. */
  readonly name: string;
  /** Digest of the configuration, which names the image's content. */
  readonly digest: Digest;
  /** `2024-05-01T10:00:00Z`: the image's own time, so that the same image gives the same document. */
  readonly created: string;
  /** Version of kiln. */
  readonly toolVersion: string;
}

export type BillFormat = "spdx" | "cyclonedx";

/** Makes an identifier in the form of a UUID, the same for the same bill: RFC 9562, version 8. */
export function billId(bill: Bill, format: BillFormat): string {
  const hash = createHash("sha256").update(`${format}\n${bill.toolVersion}\n${bill.name}\n${bill.digest}\n`);
  for (const { purl } of bill.inventory.packages) hash.update(`${purl}\n`);
  const hex = hash.digest("hex");
  const variant = ((Number.parseInt(hex.slice(16, 17), 16) & 3) | 8).toString(16);
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `${variant}${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join("-");
}

/** Brings a time into the form of both documents: UTC, whole seconds. */
export function billTime(created: string | undefined): string {
  const time = Date.parse(created ?? "");
  return `${new Date(Number.isNaN(time) ? 0 : time).toISOString().slice(0, 19)}Z`;
}
