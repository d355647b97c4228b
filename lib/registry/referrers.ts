import type { Digest } from "../core/digest.ts";
import { BuildError } from "../core/errors.ts";
import { MAX_MANIFEST_BYTES, parseManifestDocument } from "../core/manifest.ts";
import { type Descriptor, MEDIA_TYPES } from "../core/oci.ts";
import { type Purpose, refused } from "./failure.ts";
import { bytesOf, headerOf, type HttpResponse } from "./transport.ts";

/** Pages of one list. Each has at least one entry, and nothing has thousands of signatures. */
const MAX_PAGES = 100;

/**
 * Reads all pages of a list of referrers.
 * @param ask sends a GET for a path below the repository.
 * @returns `undefined` where the registry does not know the API.
 */
export async function allReferrers(
  name: string,
  ask: (path: string) => Promise<HttpResponse>,
  { subject, purpose }: { readonly subject: Digest; readonly purpose: Purpose },
): Promise<readonly Descriptor[] | undefined> {
  const found: Descriptor[] = [];
  let path: string | undefined = `referrers/${subject}`;
  for (let page = 1; path !== undefined && page <= MAX_PAGES; page += 1) {
    const response = await ask(path);
    const body = await bytesOf(response, MAX_MANIFEST_BYTES);
    // Registries without the API say 404, or that they know no such method or name.
    if ([400, 404, 405, 501].includes(response.status)) return undefined;
    if (response.status !== 200) throw refused(purpose, { status: response.status, body: body.toString("utf8") });
    if (body.length > MAX_MANIFEST_BYTES) {
      throw new BuildError("registry/malformed", `Cannot ${purpose.doing}: the list is larger than a manifest may be`);
    }
    const document = parseManifestDocument(body, MEDIA_TYPES.ociIndex, name);
    if (document.kind !== "index") return undefined;
    found.push(...document.index.manifests);
    path = nextPage(response);
  }
  return found;
}

/** Reads the query of the next page: `Link: </v2/a/referrers/sha256:..?last=x>; rel="next"`. */
function nextPage(response: HttpResponse): string | undefined {
  const link = /<([^<>]+)>\s*;\s*rel="?next"?/.exec(headerOf(response, "link") ?? "")?.[1];
  const place = link === undefined ? -1 : link.indexOf("referrers/");
  return link === undefined || place === -1 ? undefined : link.slice(place);
}
