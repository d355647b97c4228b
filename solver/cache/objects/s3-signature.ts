import { createHmac } from "node:crypto";
import { digestOf, hexOf } from "../../../lib/core/digest.ts";

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

export interface UnsignedRequest {
  readonly method: string;
  /** Made by `objectUrl`: path and query are as they are signed. */
  readonly url: URL;
  /** Names in lower case; all are signed. */
  readonly headers: Readonly<Record<string, string>>;
  /** SHA-256 of the body, in hex. */
  readonly bodyHex: string;
}

/**
 * Signs a request by AWS Signature Version 4.
 * @returns all headers to send
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
 */
export function signedHeaders(
  { method, url, headers, bodyHex }: UnsignedRequest,
  credentials: S3Credentials,
  { region, atMs }: { readonly region: string; readonly atMs: number },
): Record<string, string> {
  const time = `${new Date(atMs).toISOString().slice(0, 19).replaceAll(/[-:]/g, "")}Z`;
  const day = time.slice(0, 8);
  const { accessKeyId, secretAccessKey, sessionToken } = credentials;
  const all: Record<string, string> = {
    ...headers,
    host: url.host,
    "x-amz-content-sha256": bodyHex,
    "x-amz-date": time,
    ...(sessionToken === undefined ? {} : { "x-amz-security-token": sessionToken }),
  };
  const names = Object.keys(all).toSorted();
  const list = names.join(";");
  const lines = names.map((name) => `${name}:${(all[name] ?? "").trim()}\n`).join("");
  const canonical = [method, url.pathname, url.search.slice(1), lines, list, bodyHex].join("\n");
  const scope = `${day}/${region}/s3/aws4_request`;
  const text = ["AWS4-HMAC-SHA256", time, scope, hexOf(digestOf(canonical))].join("\n");
  const key = [day, region, "s3", "aws4_request"].reduce<string | Buffer>(
    (secret, part) => createHmac("sha256", secret).update(part).digest(),
    `AWS4${secretAccessKey}`,
  );
  const signature = createHmac("sha256", key).update(text).digest("hex");
  const authorization = `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope}, SignedHeaders=${list}, Signature=${signature}`;
  return { ...all, authorization };
}

/** Makes the URL of an object, in the one encoding that signatures know. */
export function objectUrl(base: URL, key: string, query: Readonly<Record<string, string>> = {}): URL {
  const path = key.split("/").map(encoded).join("/");
  const parts = Object.entries(query).map(([name, value]) => `${encoded(name)}=${encoded(value)}`);
  const text = parts.toSorted().join("&");
  return new URL(`${base.href.replace(/\/$/, "")}/${path}${text === "" ? "" : `?${text}`}`);
}

/** Encodes all but the unreserved characters of RFC 3986. */
function encoded(text: string): string {
  return encodeURIComponent(text).replaceAll(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}
