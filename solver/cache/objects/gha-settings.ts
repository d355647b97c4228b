import { digestOf, hexOf } from "../../../lib/core/digest.ts";
import { BuildError } from "../../../lib/core/errors.ts";
import { isRecord, parseJson } from "../../../lib/core/json.ts";
import type { ObjectPlace } from "./object-store.ts";
import type { SettingsSources } from "./s3-settings.ts";

export interface GhaSettings {
  /** Version of the service: 1 is that of GitHub Enterprise Server. */
  readonly version: 1 | 2;
  readonly url: URL;
  readonly token: string;
  /** Prefix of the names of entries, in letters that the service allows. */
  readonly scope: string;
  readonly timeoutMs: number;
  /** BuildKit's names for the indexes of the branches that the token may read, without their numbers. */
  readonly buildKitIndexes: readonly string[];
}

const TEN_MINUTES_MS = 600_000;
const RUNTIME_HINT =
  "a run: step does not have it by itself: an earlier step with actions/github-script or crazy-max/ghaction-github-runtime exports it";

/**
 * Reads the settings: attributes, then the variables of a workflow's runner.
 * @throws {BuildError} `cache/import-failed`
 */
export function readGhaSettings(
  { attributes }: ObjectPlace,
  { env }: Pick<SettingsSources, "env">,
  clock: { nowMs(): number },
): GhaSettings {
  const token = attributes["token"] || env["ACTIONS_RUNTIME_TOKEN"];
  if (token === undefined || token === "") throw refused("there is no token: ACTIONS_RUNTIME_TOKEN is not set");
  const version = versionOf(attributes, env);
  const text =
    version === 2
      ? attributes["url_v2"] || attributes["url"] || env["ACTIONS_RESULTS_URL"]
      : attributes["url"] || env["ACTIONS_CACHE_URL"] || env["ACTIONS_RESULTS_URL"];
  const variable = version === 2 ? "ACTIONS_RESULTS_URL" : "ACTIONS_CACHE_URL";
  if (text === undefined || text === "") throw refused(`there is no address: ${variable} is not set`);
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new BuildError("cache/import-failed", `the address of the cache service is no URL`, {
      hint: `it is in ${variable}`,
    });
  }
  if (/[\r\n]/.test(token)) throw refused("the token has more than one line");
  const claims = claimsOf(token);
  const expiresS = claims["exp"];
  if (typeof expiresS === "number" && expiresS * 1000 <= clock.nowMs()) {
    throw new BuildError("cache/import-failed", `the token expired at ${new Date(expiresS * 1000).toISOString()}`, {
      hint: "a token is for one job: take that of the job that runs now",
    });
  }
  const scope = attributes["scope"] ?? "buildkit";
  return {
    version,
    url,
    token,
    scope: /^[\w.-]{1,100}$/.test(scope) ? scope : hexOf(digestOf(scope)).slice(0, 16),
    timeoutMs: Number(attributes["timeout"] ?? TEN_MINUTES_MS),
    buildKitIndexes: branchesOf(claims).map((branch) => `index-${scope}-1-${hexOf(digestOf(branch)).slice(0, 8)}#`),
  };
}

function versionOf(attributes: ObjectPlace["attributes"], env: SettingsSources["env"]): 1 | 2 {
  if (attributes["version"] !== undefined) return attributes["version"] === "1" ? 1 : 2;
  if (attributes["url_v2"] !== undefined) return 2;
  if (attributes["url"] !== undefined) return 1;
  const given = env["ACTIONS_CACHE_SERVICE_V2"] ?? "";
  if (given !== "") return /^(?:1|t|true)$/i.test(given) ? 2 : 1;
  // Servers of one's own have the old service; they tell by their address. GitHub's own has no other than the new one.
  const isGitHub = /^https:\/\/(?:github\.com|[^/]+\.ghe\.com)\/?$/.test(
    env["GITHUB_SERVER_URL"] ?? "https://github.com",
  );
  return isGitHub && (env["ACTIONS_RESULTS_URL"] ?? "") !== "" ? 2 : 1;
}

/** Reads the claims of a JSON web token; the service checks them, and its signature. */
function claimsOf(token: string): Readonly<Record<string, unknown>> {
  const json = parseJson(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8"));
  return isRecord(json) ? json : {};
}

/** Lists the branches that a token gives access to, in the claim `ac`. */
function branchesOf(claims: Readonly<Record<string, unknown>>): readonly string[] {
  const list: unknown = typeof claims["ac"] === "string" ? parseJson(claims["ac"]) : undefined;
  if (!Array.isArray(list)) return [];
  return list.flatMap((one: unknown) => (isRecord(one) && typeof one["Scope"] === "string" ? [one["Scope"]] : []));
}

function refused(why: string): BuildError {
  return new BuildError("cache/import-failed", why, { hint: RUNTIME_HINT });
}
