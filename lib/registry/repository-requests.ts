import { BuildError, joinHints } from "../core/errors.ts";
import { Authorizer, type Permission, type Scope } from "./auth.ts";
import { type Purpose, refused } from "./failure.ts";
import { type Host, hostOf, isAt } from "./host.ts";
import { type Mirror, Mirrors, reasonOf } from "./mirrors.ts";
import type { RegistryOptions, Repository } from "./registry.ts";
import { routeOf } from "./routes.ts";
import { type HttpRequest, type HttpResponse, textOf, Transport } from "./transport.ts";

/** One request about a repository. */
export interface RepositoryRequest {
  readonly method: HttpRequest["method"];
  /** Path below `/v2/<name>/`. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: NonNullable<HttpRequest["body"]>;
  readonly purpose: Purpose;
  readonly scopes?: readonly Scope[];
  readonly attempts?: HttpRequest["attempts"];
}

/** Requests about repositories: to the registry, or to its mirrors first, with the account that each of them takes. */
export class RepositoryRequests implements AsyncDisposable {
  readonly mirrors: Mirrors;
  readonly #hosts: RegistryOptions["hosts"];
  readonly #transport: Transport;
  readonly #authorizer: Authorizer;

  constructor(options: RegistryOptions) {
    this.mirrors = new Mirrors(options);
    this.#hosts = options.hosts;
    this.#transport = new Transport(options);
    this.#authorizer = new Authorizer(this.#transport, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#transport[Symbol.asyncDispose]();
  }

  /** Returns the address of a path at a host. */
  urlOf(host: Host, path: string): URL {
    return this.#transport.urlOf(host, path);
  }

  /**
   * Asks the mirrors first. A mirror with an unacceptable answer is skipped; the registry itself decides.
   * @param accept turns an answer into the result, or throws
   */
  async pull<T>(
    repository: Repository,
    request: RepositoryRequest,
    accept: (response: HttpResponse, mirror: Mirror | undefined) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    for (const mirror of this.mirrors.of(repository)) {
      if (!serves(mirror, request)) continue;
      const answer = await this.#askMirror(mirror, request, accept, signal);
      if (answer !== undefined) return answer.accepted;
    }
    const { origin } = routeOf(this.#hosts, repository);
    try {
      return await accept(await this.ask(this.origin(origin), origin, request, "pull", signal), undefined);
    } catch (error) {
      if (!(error instanceof BuildError) || error.code !== "registry/unreachable") throw error;
      for (const mirror of this.mirrors.secondChance(repository)) {
        const answer = await this.#askMirror(mirror, request, accept, signal);
        if (answer === undefined) continue;
        this.mirrors.takeBack(mirror);
        return answer.accepted;
      }
      throw this.#withMirrors(error, repository);
    }
  }

  /**
   * Asks one mirror.
   * @returns `undefined` when the mirror has no acceptable answer
   */
  async #askMirror<T>(
    mirror: Mirror,
    request: RepositoryRequest,
    accept: (response: HttpResponse, mirror: Mirror | undefined) => Promise<T>,
    signal: AbortSignal,
  ): Promise<{ readonly accepted: T } | undefined> {
    const purpose: Purpose = { ...request.purpose, registry: mirror.host.name, server: `the mirror "${mirror.name}"` };
    try {
      const response = await this.ask(mirror.host, mirror.repository, { ...request, purpose }, "pull", signal);
      if (response.status === 200 || response.status === 206) return { accepted: await accept(response, mirror) };
      const body = await textOf(response, 64 << 10);
      // The mirror lacks the image, or does not give it to us. Other images may be fine.
      if (response.status === 404 || response.status === 401 || response.status === 403) return undefined;
      throw refused(purpose, { status: response.status, body });
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof BuildError)) throw error;
      this.mirrors.giveUp(mirror, reasonOf(error), error.code === "registry/unreachable" ? "brief" : "none");
      return undefined;
    }
  }

  /** Adds the mirrors' failures to the error of an unreachable registry. */
  #withMirrors(error: BuildError, repository: Repository): BuildError {
    const failures = this.mirrors.failuresOf(repository);
    return failures === undefined ? error : error.withHint(joinHints(failures, error.hint));
  }

  /** Asks a registry with the right to push. */
  async push(repository: Repository, request: RepositoryRequest, signal: AbortSignal): Promise<HttpResponse> {
    return this.ask(this.origin(repository), repository, request, "pull,push", signal);
  }

  /** Asks one host about a repository, with the account for it. */
  async ask(
    host: Host,
    repository: Repository,
    request: RepositoryRequest,
    actions: "pull" | "pull,push",
    signal: AbortSignal,
  ): Promise<HttpResponse> {
    const { method, path, headers = {}, body, purpose, attempts, scopes = scopesOf(repository, actions) } = request;
    const url = this.#transport.urlOf(host, `/v2/${repository.repository}/${path}`);
    const more = { ...(body === undefined ? {} : { body }), ...(attempts === undefined ? {} : { attempts }) };
    // A mirror has accounts of its own; a path in its name is a prefix of the repository's.
    const below = host.prefix === "" ? "" : `${host.prefix.slice(1)}/`;
    const asked: Repository = { registry: host.name, repository: below + repository.repository };
    return this.send(host, { method, url, headers, ...more }, { repository: asked, scopes, purpose }, signal);
  }

  /** Sends a request to a host, or to where the host redirected it. */
  async send(host: Host, request: HttpRequest, permission: Permission, signal: AbortSignal): Promise<HttpResponse> {
    // An upload may have been redirected to other storage (with signed URLs): our credentials must not go there.
    if (!isAt(request.url, host)) return this.#transport.send(host, request, permission.purpose, signal);
    return this.#authorizer.send(host, request, permission, signal);
  }

  /** Returns the host of a repository's own registry. */
  origin(repository: Repository): Host {
    return hostOf(repository.registry, this.#hosts?.get(repository.registry) ?? {});
  }
}

/** Tells whether a mirror is to be asked for a tag, or for what has a digest. */
function serves(mirror: Mirror, { path }: RepositoryRequest): boolean {
  return mirror.serves === "all" || (mirror.serves === "digests") === path.includes("/sha256:");
}

/** Returns the scope of a token for a repository. */
export function scopesOf(repository: Repository, actions: "pull" | "pull,push"): readonly Scope[] {
  return [`repository:${repository.repository}:${actions}`];
}
