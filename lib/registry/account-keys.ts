import type { Repository } from "./registry.ts";

/** Names of Docker Hub in configurations. */
const DOCKER_HUB: ReadonlySet<string> = new Set(["index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"]);

/**
 * Reads a key of `auths` or `credHelpers` as a registry or a path: `registry.example:5000`, or `registry.example/team`
 * for all repositories below it. Schemes, trailing slashes, the API's version (`/v1/`, `/v2/`), the case of a host and
 * a scheme's default port do not matter.
 */
export function accountKey(text: string): string {
  const [, scheme, rest = ""] = /^(?:(https?):\/\/)?(.*)$/is.exec(text.trim()) ?? [];
  const [authority = "", ...segments] = rest.split("/").filter((segment) => segment !== "");
  const ownPort = scheme === undefined ? undefined : scheme.toLowerCase() === "http" ? /:80$/ : /:443$/;
  const host = authority.toLowerCase().replace(ownPort ?? /$^/, "");
  // A repository may be named v2, and without a scheme `docker login` writes no key that is only that repository.
  const isVersion = /^v[12]$/.test(segments[0] ?? "") && (scheme !== undefined || segments.length === 1);
  return [DOCKER_HUB.has(host) ? "docker.io" : host, ...(isVersion ? segments.slice(1) : segments)].join("/");
}

/**
 * Lists the keys that apply to a repository, the most specific first: by whole segments of its path, and last its
 * registry.
 */
export function accountKeysOf({ registry, repository }: Repository): readonly string[] {
  const segments = repository === "" ? [] : repository.split("/");
  const host = accountKey(registry);
  return [...segments, ""].map((_, index) => [host, ...segments.slice(0, segments.length - index)].join("/"));
}
