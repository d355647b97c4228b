import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { BuildError } from "../../../lib/core/errors.ts";
import type { ObjectPlace } from "./object-store.ts";
import type { S3Credentials } from "./s3-signature.ts";

/** Sources of the settings. */
export interface SettingsSources {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly homeDirectory: string;
}

export interface S3Settings {
  readonly bucket: string;
  readonly region: string;
  /** URL of the bucket; keys follow. */
  readonly base: URL;
  readonly blobsPrefix: string;
  readonly manifestsPrefix: string;
  /** Entries are read under the first name, and written under all. */
  readonly names: readonly string[];
  /** Age from which a found object is written anew, for the bucket's rules of expiry. */
  readonly touchRefreshMs: number;
  readonly parallel: number;
  readonly credentials: S3Credentials;
}

const BUCKETS = "bucket= is a name of letters, digits, dots and dashes; a folder in it is prefix=";
const DAY_MS = 86_400_000;
const MAX_AWS_FILE_BYTES = 1 << 20;

/**
 * Reads the settings: attributes, then variables, then the files in ~/.aws.
 * @throws {BuildError} `cache/import-failed`
 */
export async function readS3Settings({ attributes }: ObjectPlace, sources: SettingsSources): Promise<S3Settings> {
  const { env } = sources;
  const given = (attribute: string, ...variables: readonly string[]): string | undefined =>
    [attributes[attribute], ...variables.map((name) => env[name])].find((value) => value !== undefined && value !== "");
  const files = await readAwsFiles(sources);
  const bucket = given("bucket", "AWS_BUCKET");
  if (bucket === undefined) throw missing("the bucket is not named", "add bucket=NAME, or set AWS_BUCKET");
  if (!/^[a-z0-9][\w.-]*$/i.test(bucket)) throw missing(`${JSON.stringify(bucket)} is no name of a bucket`, BUCKETS);
  const region = given("region", "AWS_REGION", "AWS_DEFAULT_REGION") ?? files["region"];
  if (region === undefined) throw missing("the region is not named", "add region=NAME, or set AWS_REGION");
  if (!/^[\w-]+$/.test(region))
    throw missing(`${JSON.stringify(region)} is no region`, "a region is like eu-central-1");
  const endpoint = given("endpoint_url", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL") ?? files["endpoint_url"];
  const { prefix = "", blobs_prefix: blobs = "blobs/", manifests_prefix: manifests = "manifests/" } = attributes;
  if (`${prefix}${blobs}/${prefix}${manifests}`.split("/").some((part) => part === "." || part === "..")) {
    throw missing("its prefix has a part . or ..", "S3 takes names as they are: leave such parts out");
  }
  return {
    bucket,
    region,
    base: bucketUrl(bucket, region, endpoint, attributes["use_path_style"] === "true"),
    blobsPrefix: `${prefix}${blobs}`,
    manifestsPrefix: `${prefix}${manifests}`,
    names: (attributes["name"] ?? "buildkit").split(";").filter((name) => name !== ""),
    touchRefreshMs: Number(attributes["touch_refresh"] ?? DAY_MS),
    parallel: Number(attributes["upload_parallelism"] ?? 4),
    credentials: credentialsOf(attributes, env, files),
  };
}

function credentialsOf(
  attributes: ObjectPlace["attributes"],
  env: SettingsSources["env"],
  files: Readonly<Record<string, string>>,
): S3Credentials {
  const sets = [
    [attributes["access_key_id"], attributes["secret_access_key"], attributes["session_token"]],
    [env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], env["AWS_SESSION_TOKEN"]],
    [files["aws_access_key_id"], files["aws_secret_access_key"], files["aws_session_token"]],
  ];
  for (const [accessKeyId = "", secretAccessKey = "", sessionToken] of sets) {
    if (accessKeyId === "" && secretAccessKey === "") continue;
    if (accessKeyId !== "" && secretAccessKey !== "") {
      return { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) };
    }
    throw missing("only one half of the credentials is there", "a key's id and its secret belong together");
  }
  throw missing(
    "there are no credentials for S3",
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write them to ~/.aws/credentials; roles of machines are not asked for",
  );
}

function bucketUrl(bucket: string, region: string, endpoint: string | undefined, isPathStyle: boolean): URL {
  const domain = region.startsWith("cn-") ? "amazonaws.com.cn" : "amazonaws.com";
  const text = endpoint ?? `https://s3.${region}.${domain}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username !== "" || url.search !== "") {
    throw missing("its endpoint is no URL of a server", "write endpoint_url=https://HOST[:PORT]");
  }
  // Certificates cover one label before the endpoint, and an address has no names below it.
  const mustBePath = bucket.includes(".") || !/[a-z]$/i.test(url.hostname) || url.hostname === "localhost";
  if (isPathStyle || mustBePath) return new URL(`${url.href.replace(/\/$/, "")}/${bucket}`);
  url.hostname = `${bucket}.${url.hostname}`;
  return url;
}

/** Reads the profile of AWS_PROFILE from both files; the file of credentials counts more. */
async function readAwsFiles({ env, homeDirectory }: SettingsSources): Promise<Readonly<Record<string, string>>> {
  const profile = env["AWS_PROFILE"] || "default";
  const path = (variable: string, name: string): string => env[variable] || join(homeDirectory, ".aws", name);
  const config = await readText(path("AWS_CONFIG_FILE", "config"));
  const credentials = await readText(path("AWS_SHARED_CREDENTIALS_FILE", "credentials"));
  const section = profile === "default" ? ["default", "profile default"] : [`profile ${profile}`];
  return { ...sectionOf(config, section), ...sectionOf(credentials, [profile]) };
}

async function readText(path: string): Promise<string> {
  const text = await readFile(path, "utf8").catch(() => "");
  return text.length > MAX_AWS_FILE_BYTES ? "" : text;
}

/** Reads the values of a section. Indented lines belong to the value before. */
function sectionOf(text: string, names: readonly string[]): Record<string, string> {
  const values: Record<string, string> = {};
  let isOurs = false;
  for (const line of text.split(/\r?\n/)) {
    if (/^\s*(?:[#;]|$)/.test(line)) continue;
    const heading = /^\[([^\]]*)\]/.exec(line)?.[1];
    if (heading !== undefined) isOurs = names.includes(heading.trim().replaceAll(/\s+/g, " "));
    const [, name, value] = /^([\w-]+)\s*=\s*(.*)$/.exec(line) ?? [];
    if (isOurs && name !== undefined && value !== undefined) values[name.toLowerCase()] = value.trim();
  }
  return values;
}

function missing(why: string, hint: string): BuildError {
  return new BuildError("cache/import-failed", why, { hint });
}
