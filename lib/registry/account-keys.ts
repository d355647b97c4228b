import type { Repository } from "./registry.ts";

/** Names under which Docker Hub is found in configurations. */
const DOCKER_HUB: ReadonlySet<string> = new Set(["index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"]);

/**
 * Reads a key of `auths` or `credHelpers` as the registry or path that it is for: `registry.example:5000`, or
 * `registry.example/team` for what lies below it. Schemes, slashes at the end and the API's version (`/v1/`, `/v2/`) say
 * nothing, nor does the case of a host, nor a scheme's own port.
 */
export function accountKey(text: string): string {
  const [, scheme, rest = ""] = /^(?:(https?):\/\/)?(.*)$/is.exec(text.trim()) ?? [];
  const [authority = "", ...segments] = rest.split("/").filter((segment) => segment !== "");
  const ownPort = scheme === undefined ? undefined : scheme.toLowerCase() === "http" ? /:80$/ : /:443$/;
  const host = authority.toLowerCase().replace(ownPort ?? /$^/, "");
  // A repository may be called v2, and `docker login` writes no repositories without a scheme that are only that.
  const isVersion = /^v[12]$/.test(segments[0] ?? "") && (scheme !== undefined || segments.length === 1);
  return [DOCKER_HUB.has(host) ? "docker.io" : host, ...(isVersion ? segments.slice(1) : segments)].join("/");
}

/** Lists the keys that are for a repository, the most exact first: by whole segments of its path, and last its registry. */
export function accountKeysOf({ registry, repository }: Repository): readonly string[] {
  const segments = repository === "" ? [] : repository.split("/");
  const host = accountKey(registry);
  return [...segments, ""].map((_, index) => [host, ...segments.slice(0, segments.length - index)].join("/"));
}
