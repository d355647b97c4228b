import { BuildError } from "../../../lib/core/errors.ts";
import { withoutCredentials } from "../../../lib/core/credentials.ts";
import { readHostFiles } from "../../../lib/registry/host-files.ts";
import type { Credentials, Repository } from "../../../lib/registry/registry.ts";
import type { Engine } from "../engine.ts";
import { connectionOptions, credentialsFor, type GivenAccounts, hostFiles } from "./registry-options.ts";

/** The way to a registry, and the result of trying it. It contains no secret. */
export interface RegistryReport {
  /** The account, and the file or flag that gives it. */
  readonly account: string;
  readonly settings: readonly { readonly what: string; readonly file: string }[];
  /** Mirrors in the order of requests. */
  readonly mirrors: readonly string[];
  readonly proxy: string | undefined;
  /** Error of the attempt; `undefined` when it succeeded. */
  readonly failure: BuildError | undefined;
}

/** Collects the settings for a repository, and asks its registry. An empty repository stands for the registry. */
export async function checkRegistry(
  engine: Pick<Engine, "environment" | "registry">,
  request: { readonly place: Repository; readonly insecure: ReadonlySet<string>; readonly accounts: GivenAccounts },
  signal: AbortSignal,
): Promise<RegistryReport> {
  const { environment } = engine;
  const { place, insecure, accounts } = request;
  const hosts = await readHostFiles(hostFiles(environment, insecure));
  const found = await credentialsFor(environment, accounts, place, signal);
  const { proxy } = connectionOptions(environment.env);
  const described =
    found === undefined ? "none: nothing has an entry for it" : `${nameOf(found.credentials)}, from ${found.source}`;
  return {
    account: described,
    settings: hosts.explain(place),
    mirrors: hosts
      .route(place)
      .mirrors.map(({ name, repository }) => (repository === "" ? name : `${name}/${repository}`)),
    proxy: proxy?.https === undefined ? undefined : withoutCredentials(proxy.https),
    failure: await failureOf(engine, place, signal),
  };
}

function nameOf(credentials: Credentials): string {
  if (credentials.kind === "basic") return credentials.username;
  return credentials.kind === "identity-token" ? "an identity token" : "a registry token";
}

async function failureOf(
  engine: Pick<Engine, "registry">,
  place: Repository,
  signal: AbortSignal,
): Promise<BuildError | undefined> {
  try {
    const client = await engine.registry();
    if (place.repository === "") await client.ping(place.registry, signal);
    else await client.describe({ ...place, tag: "latest", digest: undefined }, "one", signal);
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof BuildError)) throw error;
    // An unknown tag means that the repository is readable.
    return error.code === "registry/not-found" && /manifest unknown|404/i.test(error.message) ? undefined : error;
  }
}
