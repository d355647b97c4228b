import type { Digest } from "../../../lib/core/digest.ts";
import { isRecord, parseJson } from "../../../lib/core/json.ts";
import type { Store } from "../../../lib/store/store.ts";

const KIND = "remote-listing";

/** Records the place of an imported record's listing. Its bytes are only fetched to explain a miss. */
export function noteListing(
  { digest, size }: { readonly digest: Digest; readonly size: number },
  repository: string,
  store: Pick<Store, "facts">,
): void {
  store.facts.set(KIND, digest, { value: Buffer.from(JSON.stringify({ size, repository })) });
}

export function whereListing(
  digest: Digest,
  store: Pick<Store, "facts">,
): { readonly size: number; readonly repository: string } | undefined {
  const fact = store.facts.get(KIND, digest);
  const json = fact === undefined ? undefined : parseJson(Buffer.from(fact.value).toString());
  if (!isRecord(json)) return undefined;
  const { size, repository } = json;
  return typeof size === "number" && typeof repository === "string" ? { size, repository } : undefined;
}
