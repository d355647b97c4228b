import { join } from "node:path";
import { BuildError, errnoOf } from "../core/errors.ts";
import { readSettings } from "../core/given-file.ts";
import { isRecord, parseJson } from "../core/json.ts";

const VARIABLES = {
  httpProxy: "HTTP_PROXY",
  httpsProxy: "HTTPS_PROXY",
  ftpProxy: "FTP_PROXY",
  noProxy: "NO_PROXY",
  allProxy: "ALL_PROXY",
} as const;

/**
 * Reads the proxies that docker's `config.json` in `directory` sets for builds (`proxies.default`), as build arguments
 * in both cases. Empty where the file is missing or malformed: reading credentials from it reports that.
 * @see https://docs.docker.com/engine/cli/proxy/
 */
export function dockerProxies(directory: string): Record<string, string> {
  const config = parseJson(readConfig(join(directory, "config.json")));
  const proxies = isRecord(config) && isRecord(config["proxies"]) ? config["proxies"]["default"] : undefined;
  if (!isRecord(proxies)) return {};
  const values: Record<string, string> = {};
  for (const [key, name] of Object.entries(VARIABLES)) {
    const value = proxies[key];
    if (typeof value !== "string" || value === "") continue;
    values[name] = value;
    values[name.toLowerCase()] = value;
  }
  return values;
}

function readConfig(path: string): string {
  try {
    const refuse = (why: string): BuildError =>
      new BuildError("registry/configuration", `Cannot read "${path}": ${why}`);
    return readSettings({ path, refuse }).toString("utf8");
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "EACCES", "EISDIR"].includes(errnoOf(error) ?? "")) return "";
    throw error;
  }
}
