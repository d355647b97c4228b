import type { IncomingHttpHeaders } from "node:http";
import { isRecord } from "../../lib/core/json.ts";
import type { BuildEnvironment } from "../engine/environment.ts";
import { badRequest, jsonIn } from "./call.ts";

type Auth = Readonly<Record<string, unknown>>;

/**
 * Makes the environment with the accounts that a request brings: X-Registry-Config has them by registry, X-Registry-Auth has
 * one for `registry`. They come before those of the server's own files, for this request.
 */
export function withAccounts(
  environment: BuildEnvironment,
  headers: IncomingHttpHeaders,
  registry: string | undefined,
): BuildEnvironment {
  const many = decoded(headers, "x-registry-config") ?? {};
  const one = registry === undefined ? undefined : decoded(headers, "x-registry-auth");
  const all: [string, unknown][] = Object.entries(many);
  if (registry !== undefined && one !== undefined) all.push([registry, one]);
  return withAuths(environment, all);
}

/** Makes the environment with accounts by registry. An entry without credentials is none. */
export function withAuths(
  environment: BuildEnvironment,
  entries: readonly (readonly [registry: string, auth: unknown])[],
): BuildEnvironment {
  const given = entries.filter(([, auth]) => isRecord(auth) && hasCredentials(auth));
  if (given.length === 0) return environment;
  const DOCKER_AUTH_CONFIG = JSON.stringify({ auths: Object.fromEntries(given) });
  return { ...environment, env: { ...environment.env, DOCKER_AUTH_CONFIG } };
}

function hasCredentials(auth: Auth): boolean {
  return ["auth", "password", "identitytoken", "registrytoken"].some((name) => (auth[name] ?? "") !== "");
}

/** Reads a header with base64 of JSON, in either alphabet; `undefined` where it is empty. */
function decoded(headers: IncomingHttpHeaders, name: string): Auth | undefined {
  const header = headers[name];
  const text = Buffer.from(typeof header === "string" ? header : "", "base64").toString("utf8");
  if (text.trim() === "") return undefined;
  const value = jsonIn(text, `the header ${name}`);
  if (value === null) return undefined;
  if (isRecord(value)) return value;
  throw badRequest(`Cannot read the header ${name}: it is no object`);
}
