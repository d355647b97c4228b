import { percentDecoded } from "../../../lib/core/percent.ts";
import type { SecretSource } from "../../ports.ts";

/**
 * Makes the request for a URL: without compression on the way, and with the secret `HTTP_AUTH_HEADER_<host>` or
 * `HTTP_AUTH_TOKEN_<host>` where there is one, otherwise with the user name of the URL.
 * @throws {TypeError} for a text that is no URL
 */
export async function requestOf(
  text: string,
  secrets: SecretSource,
  signal: AbortSignal,
): Promise<{ readonly url: URL; readonly headers: Headers }> {
  const url = new URL(text);
  const headers = new Headers({ "accept-encoding": "identity", "user-agent": "kiln" });
  const secret = async (name: string): Promise<string | undefined> => {
    const bytes = await secrets.get(name, signal);
    return bytes === undefined ? undefined : new TextDecoder().decode(bytes).trim();
  };
  const header = await secret(`HTTP_AUTH_HEADER_${url.hostname}`);
  const token = header === undefined ? await secret(`HTTP_AUTH_TOKEN_${url.hostname}`) : undefined;
  if (header !== undefined) headers.set("authorization", header);
  else if (token !== undefined) headers.set("authorization", `Bearer ${token}`);
  else if (url.username !== "") {
    const pair = `${percentDecoded(url.username)}:${percentDecoded(url.password)}`;
    headers.set("authorization", `Basic ${Buffer.from(pair).toString("base64")}`);
  }
  // A fetch refuses URLs with credentials.
  url.username = "";
  url.password = "";
  return { url, headers };
}

/** Quotes the URL without user name, password and query, because each of them may be a credential. */
export function shownUrl(text: string): string {
  if (!URL.canParse(text)) return JSON.stringify(text);
  const url = new URL(text);
  url.username = "";
  url.password = "";
  if (url.search !== "") url.search = "...";
  return JSON.stringify(url.href);
}
