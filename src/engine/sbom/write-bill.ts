import type { Json } from "../../../lib/core/json.ts";
import { printableJson } from "../../../lib/core/printable.ts";
import type { Bill, BillFormat } from "./bill.ts";
import { cycloneDxParts } from "./cyclonedx.ts";
import { type BillParts, spdxParts } from "./spdx.ts";

/** Writes a document piece by piece: one line per package, safe to look at. */
export function* billText(bill: Bill, format: BillFormat): Generator<string> {
  const { head, lists } = partsOf(bill, format);
  yield "{";
  for (const [name, value] of Object.entries(head)) yield `\n  ${printableJson(name)}: ${printableJson(value)},`;
  let before = "";
  for (const [name, items] of Object.entries(lists)) {
    yield `${before}\n  ${printableJson(name)}: [`;
    let separator = "";
    for (const item of items()) {
      yield `${separator}\n    ${printableJson(item)}`;
      separator = ",";
    }
    yield "\n  ]";
    before = ",";
  }
  yield "\n}\n";
}

/** Makes a whole SPDX document as one value: the predicate of an attestation. */
export function billDocument(bill: Bill): Json {
  const { head, lists } = spdxParts(bill);
  return { ...head, ...Object.fromEntries(Object.entries(lists).map(([name, items]) => [name, [...items()]])) };
}

function partsOf(bill: Bill, format: BillFormat): BillParts {
  return format === "spdx" ? spdxParts(bill) : cycloneDxParts(bill);
}
