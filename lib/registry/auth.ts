import { BuildError } from "../core/errors.ts";
import { isRecord, parseJson } from "../core/json.ts";
import { type Purpose, refused } from "./failure.ts";
import { type Host, isAt, isLoopback } from "./host.ts";
import { type Credentials, formatRepository, type RegistryOptions, type Repository } from "./registry.ts";
import { type HttpRequest, type HttpResponse, textOf, type Transport } from "./transport.ts";

/** A permission that a request needs: `repository:library/alpine:pull`. */
export type Scope = string;

/** The authentication that a registry asks for. RFC 7235, and distribution's token specification. */
export type Challenge =
  | { readonly kind: "basic" }
  | {
      readonly kind: "bearer";
      readonly realm: URL;
      readonly service: string | undefined;
      readonly scope: string | undefined;
    };

/** Default life of a token: the specification's minimum, for answers that give none. */
const DEFAULT_LIFE_SECONDS = 60;
/** A token is discarded this long before it expires. */
const MARGIN_MS = 5_000;

/** The account for one repository, or the reason why none was found. */
interface Account {
  readonly credentials: Credentials | undefined;
  /** Error to report if the registry refuses. Missing credentials alone are no error: most pulled images are public. */
  readonly failure: BuildError | undefined;
}

/** The repository and scopes that a request needs permission for. */
export interface Permission {
  readonly repository: Repository;
  readonly scopes: readonly Scope[];
  readonly purpose: Purpose;
}

/** Authorization headers for one client: requested when a registry asks for them, kept by host and scope. */
export class Authorizer {
  readonly #transport: Transport;
  readonly #options: RegistryOptions;
  /** Challenges by host and repository: some registries send each repository to a token server of its own. */
  readonly #challenges = new Map<string, Challenge>();
  readonly #accounts = new Map<string, Promise<Account>>();
  readonly #tokens = new Map<string, Promise<{ readonly token: string; readonly endsAtMs: number }>>();

  constructor(transport: Transport, options: RegistryOptions) {
    this.#transport = transport;
    this.#options = options;
  }

  /** Sends a request with the authorization that its host asked for before, and again if the host asks now. */
  async send(host: Host, request: HttpRequest, permission: Permission, signal: AbortSignal): Promise<HttpResponse> {
    const { scopes, purpose } = permission;
    const { attempts = "many" } = request;
    const place = `${host.authority} ${formatRepository(permission.repository)}`;
    const known = this.#challenges.get(place);
    const first = known === undefined ? undefined : await this.#header(host, known, permission, attempts, signal);
    const response = await this.#transport.send(host, withAuthorization(request, first), purpose, signal);
    // Only the registry's own refusal counts, not that of storage it redirected to.
    if (response.status !== 401 || !isAt(response.url, host)) return response;
    const challenge = challengeIn(response);
    if (challenge === undefined) return response;
    response.body.destroy();
    this.#challenges.set(place, challenge);
    // The token may have been withdrawn, or the registry wants more scopes than we thought.
    const wanted =
      challenge.kind === "bearer" && challenge.scope !== undefined ? union(scopes, challenge.scope) : scopes;
    const wider = { ...permission, scopes: wanted };
    this.#tokens.delete(tokenKey(host, wider));
    const second = await this.#header(host, challenge, wider, attempts, signal);
    // After a redirect or a fallback to HTTP, the second request goes to the server that answered.
    const answer = await this.#transport.send(
      host,
      withAuthorization({ ...request, url: this.#sameScheme(request.url, response.url) }, second),
      purpose,
      signal,
    );
    if (answer.status !== 401 && answer.status !== 403) return answer;
    const { failure } = await this.#accountOf(permission.repository, signal);
    if (failure === undefined) return answer;
    answer.body.destroy();
    throw failure;
  }

  /** Sends requests until one is answered by a server that knows what it asks. The first answer stands when none is better. */
  async #firstKnown(
    requests: readonly HttpRequest[],
    send: (request: HttpRequest) => Promise<HttpResponse>,
  ): Promise<HttpResponse> {
    let first: HttpResponse | undefined;
    for (const request of requests) {
      const response = await send(request);
      if (!NO_SUCH_FLOW.has(response.status)) {
        first?.body.destroy();
        return response;
      }
      if (first === undefined) first = response;
      else response.body.destroy();
    }
    if (first === undefined) throw new Error("No request for a token");
    return first;
  }

  #sameScheme(url: URL, answered: URL): URL {
    const copy = new URL(url);
    if (copy.host === answered.host) copy.protocol = answered.protocol;
    return copy;
  }

  async #header(
    host: Host,
    challenge: Challenge,
    permission: Permission,
    attempts: "one" | "many",
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const account = await this.#accountOf(permission.repository, signal);
    const { credentials } = account;
    if (credentials?.kind === "registry-token") return `Bearer ${credentials.token}`;
    if (challenge.kind === "basic") return credentials?.kind === "basic" ? basic(credentials) : undefined;
    const key = tokenKey(host, permission);
    const cached = await this.#tokens.get(key)?.catch(() => undefined);
    if (cached !== undefined && cached.endsAtMs - MARGIN_MS > this.#options.clock.nowMs())
      return `Bearer ${cached.token}`;
    const fetching = this.#fetchToken(host, challenge, { ...permission, ...account, attempts }, signal);
    this.#tokens.set(key, fetching);
    try {
      return `Bearer ${(await fetching).token}`;
    } catch (error) {
      this.#tokens.delete(key);
      throw error;
    }
  }

  #accountOf(repository: Repository, signal: AbortSignal): Promise<Account> {
    const key = formatRepository(repository);
    let account = this.#accounts.get(key);
    if (account === undefined) {
      account = this.#findAccount(repository, signal);
      this.#accounts.set(key, account);
      // A request cancelled for one build may be wanted by another.
      account.catch(() => this.#accounts.delete(key));
    }
    return account;
  }

  async #findAccount(repository: Repository, signal: AbortSignal): Promise<Account> {
    try {
      return { credentials: await this.#options.credentials.get(repository, signal), failure: undefined };
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof BuildError)) throw error;
      return { credentials: undefined, failure: error };
    }
  }

  async #fetchToken(
    host: Host,
    challenge: Challenge & { readonly kind: "bearer" },
    { scopes, purpose, credentials, failure, attempts }: Permission & Account & { readonly attempts: "one" | "many" },
    signal: AbortSignal,
  ): Promise<{ readonly token: string; readonly endsAtMs: number }> {
    const { realm, service } = challenge;
    if (
      credentials !== undefined &&
      realm.protocol === "http:" &&
      !isLoopback(realm.host) &&
      host.schemes[0] === "https"
    ) {
      throw new BuildError(
        "registry/unauthorized",
        `Cannot ${purpose.doing}: "${host.name}" wants credentials sent to "${realm.host}" without encryption`,
      );
    }
    const realmHost: Host = {
      name: realm.host,
      authority: realm.host,
      prefix: "",
      schemes: [realm.protocol === "http:" ? "http" : "https"],
      settings: realm.hostname === new URL(`https://${host.authority}`).hostname ? host.settings : {},
      patience: host.patience,
    };
    const startedAtMs = this.#options.clock.nowMs();
    const asking: Purpose = {
      doing: `get a token to ${purpose.doing}`,
      registry: host.name,
      server: `the token server "${realm.host}"`,
    };
    const requests = tokenRequests(realm, service, scopes, credentials);
    const response = await this.#firstKnown(requests, (request) =>
      this.#transport.send(realmHost, { ...request, attempts }, asking, signal),
    );
    const body = await textOf(response, 1 << 20);
    if (response.status !== 200) {
      throw failure ?? refused(asking, { status: response.status === 400 ? 401 : response.status, body });
    }
    const json = parseJson(body);
    const tokens = isRecord(json) ? [json["token"], json["access_token"]] : [];
    const token = tokens.find((one): one is string => typeof one === "string" && one !== "");
    if (!isRecord(json) || token === undefined) {
      throw new BuildError(
        "registry/malformed",
        `Cannot ${purpose.doing}: the token server "${realm.host}" sent no token`,
      );
    }
    const seconds = typeof json["expires_in"] === "number" ? json["expires_in"] : DEFAULT_LIFE_SECONDS;
    return { token, endsAtMs: startedAtMs + Math.max(seconds, DEFAULT_LIFE_SECONDS) * 1000 };
  }
}

/** Statuses of token servers that have no refresh flow: GCR says 404, others 405, Artifactory 401. */
const NO_SUCH_FLOW: ReadonlySet<number> = new Set([401, 404, 405]);

/** Lists the requests for a token, in the order they are tried: a refresh token also passes for a password. */
function tokenRequests(
  realm: URL,
  service: string | undefined,
  scopes: readonly Scope[],
  credentials: Credentials | undefined,
): readonly HttpRequest[] {
  if (credentials?.kind !== "identity-token") {
    return [tokenRequest(realm, service, scopes, credentials?.kind === "basic" ? credentials : undefined)];
  }
  const { token, username = "<token>" } = credentials;
  const asPassword = { kind: "basic", username, password: token } as const;
  return [oauthRequest(realm, service, scopes, token), tokenRequest(realm, service, scopes, asPassword)];
}

/** Finds the strongest challenge of a 401 that we can answer. */
export function challengeIn(response: Pick<HttpResponse, "headers">): Challenge | undefined {
  const challenges = (response.headers.get("www-authenticate") ?? []).flatMap(parseChallenges);
  for (const { scheme, parameters } of challenges) {
    const realm = parameters.get("realm");
    if (scheme !== "bearer" || realm === undefined || !URL.canParse(realm)) continue;
    const url = new URL(realm);
    if (url.protocol !== "https:" && url.protocol !== "http:") continue;
    return { kind: "bearer", realm: url, service: parameters.get("service"), scope: parameters.get("scope") };
  }
  return challenges.some(({ scheme }) => scheme === "basic") ? { kind: "basic" } : undefined;
}

/**
 * Parses `Bearer realm="https://a",service="b", Basic realm="c"`: schemes with parameters, quoted or not. RFC 9110,
 * 11.6.1.
 */
export function parseChallenges(
  header: string,
): { readonly scheme: string; readonly parameters: ReadonlyMap<string, string> }[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = [];
  const token = /[\s,]*(?:([A-Za-z0-9._~+/-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))|([A-Za-z0-9._-]+)(?=\s|$|,))/y;
  for (let match = token.exec(header); match !== null; match = token.exec(header)) {
    const [, name, quoted, plain, scheme] = match;
    if (scheme !== undefined) challenges.push({ scheme: scheme.toLowerCase(), parameters: new Map() });
    else if (name !== undefined)
      challenges.at(-1)?.parameters.set(name.toLowerCase(), quoted?.replace(/\\(.)/g, "$1") ?? plain ?? "");
  }
  return challenges;
}

function tokenRequest(
  realm: URL,
  service: string | undefined,
  scopes: readonly Scope[],
  credentials: (Credentials & { readonly kind: "basic" }) | undefined,
): HttpRequest {
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.set("service", service);
  for (const scope of scopes) url.searchParams.append("scope", scope);
  if (credentials !== undefined) url.searchParams.set("account", credentials.username);
  return { method: "GET", url, headers: credentials === undefined ? {} : { authorization: basic(credentials) } };
}

/** Makes the request that exchanges an identity token through OAuth2's refresh flow. */
function oauthRequest(
  realm: URL,
  service: string | undefined,
  scopes: readonly Scope[],
  refreshToken: string,
): HttpRequest {
  const form = new URLSearchParams({
    grant_type: "refresh_token",
    service: service ?? "",
    scope: scopes.join(" "),
    client_id: "kiln",
    refresh_token: refreshToken,
  });
  const bytes = Buffer.from(form.toString());
  return {
    method: "POST",
    url: realm,
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: { sizeBytes: bytes.length, open: () => bytes },
  };
}

function basic(credentials: Credentials & { readonly kind: "basic" }): string {
  return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64")}`;
}

function withAuthorization(request: HttpRequest, authorization: string | undefined): HttpRequest {
  return authorization === undefined ? request : { ...request, headers: { ...request.headers, authorization } };
}

/** Makes a token's key. Two repositories of a registry may have different accounts. */
function tokenKey(host: Host, { repository, scopes }: Permission): string {
  return [host.name, formatRepository(repository), ...scopes.toSorted()].join(" ");
}

function union(scopes: readonly Scope[], more: string): readonly Scope[] {
  return [...new Set([...scopes, ...more.split(" ").filter((scope) => scope !== "")])];
}
