import { percentDecoded } from "../../../lib/core/percent.ts";
import type { SecretSource, SshSource } from "../../ports.ts";
import type { GitCall } from "./run-git.ts";

/** The account for git's access to a server. */
export type Access = Pick<GitCall, "secretConfig" | "sshSocket">;

/**
 * Finds credentials for the remote's own host, and only there: a submodule elsewhere gets none. Secrets come before
 * credentials in the URL.
 */
export async function accessTo(
  remote: string,
  deps: { readonly secrets: SecretSource; readonly ssh: SshSource },
  signal: AbortSignal,
): Promise<Access> {
  const url = URL.canParse(remote) ? new URL(remote) : undefined;
  if (url === undefined || (url.protocol !== "https:" && url.protocol !== "http:")) {
    return { secretConfig: [], sshSocket: await deps.ssh.socket("default", signal) };
  }
  const secret = async (name: string): Promise<string | undefined> => {
    const bytes = (await deps.secrets.get(`${name}.${url.host}`, signal)) ?? (await deps.secrets.get(name, signal));
    return bytes === undefined ? undefined : new TextDecoder().decode(bytes).trim();
  };
  const header = await secret("GIT_AUTH_HEADER");
  const token = header === undefined ? await secret("GIT_AUTH_TOKEN") : undefined;
  const value = header ?? (token ? basic(`x-access-token:${token}`) : inUrl(url));
  if (!value) return { secretConfig: [], sshSocket: undefined };
  const key = `http.${url.protocol}//${url.host}/.extraHeader`;
  return { secretConfig: [{ key, value: `Authorization: ${value}` }], sshSocket: undefined };
}

/**
 * Makes a header from credentials in the URL. Unlike the URL, it also reaches submodules with relative URLs. A user
 * without a password is left to git and ~/.netrc.
 */
function inUrl({ username, password }: URL): string | undefined {
  return password === "" ? undefined : basic(`${percentDecoded(username)}:${percentDecoded(password)}`);
}

function basic(pair: string): string {
  return `basic ${Buffer.from(pair).toString("base64")}`;
}
