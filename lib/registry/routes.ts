import type { HostLookup, Repository, Route } from "./registry.ts";

/** Finds the way to a repository. @throws {BuildError} `registry/configuration` for one that a rule blocks */
export function routeOf(hosts: HostLookup | undefined, repository: Repository): Route {
  const route = hosts?.route?.(repository);
  if (route !== undefined) return route;
  const mirrors = hosts?.get(repository.registry)?.mirrors ?? [];
  return {
    origin: repository,
    mirrors: mirrors.map((name) => ({ name, repository: repository.repository, serves: "all" })),
  };
}
