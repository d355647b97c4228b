import { mkdirSync, realpathSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { BuildError, errnoOf, messageOf } from "../core/errors.ts";
import { readSettings } from "../core/given-file.ts";
import { isRecord, parseJson } from "../core/json.ts";
import { accountKey } from "./account-keys.ts";
import { askHelper, eraseInHelper, storeInHelper } from "./credential-helper.ts";

/** The file of an account, for messages. */
export type AccountPlace =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "helper"; readonly name: string };

/** A file of accounts and the environment of the helpers it names. */
export interface AccountFile {
  readonly path: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * Keeps an account, as `docker login` does: with the credential helper that the file names for the registry, else in the file.
 * Other members of the file stay as they are.
 * @param key `registry.example:5000`, or with a path.
 * @throws {BuildError} `registry/configuration`, and what a helper says
 */
export async function keepAccount(
  file: AccountFile,
  key: string,
  account: { readonly username: string; readonly password: string },
  signal: AbortSignal,
): Promise<AccountPlace> {
  const json = readAccounts(file.path);
  const server = serverOf(key);
  const helper = helperFor(json, key);
  if (helper !== undefined) {
    await storeInHelper(helper, server, account, file.env, signal);
    // The empty entry tells docker that the helper has something for this registry.
    writeAccounts(file.path, withEntry(json, key, server, {}));
    return { kind: "helper", name: helper };
  }
  const auth = Buffer.from(`${account.username}:${account.password}`).toString("base64");
  writeAccounts(file.path, withEntry(json, key, server, { auth }));
  return { kind: "file", path: file.path };
}

/**
 * Forgets an account, in the file and in its helper.
 * @returns whether there was one.
 */
export async function forgetAccount(file: AccountFile, key: string, signal: AbortSignal): Promise<boolean> {
  const json = readAccounts(file.path);
  const helper = helperFor(json, key);
  let isKnown = false;
  if (helper !== undefined) {
    isKnown = (await askHelper(helper, serverOf(key), file.env, signal)) !== undefined;
    if (isKnown) await eraseInHelper(helper, serverOf(key), file.env, signal);
  }
  const { auths } = json;
  const entries = isRecord(auths) ? Object.entries(auths) : [];
  const kept = entries.filter(([name]) => accountKey(name) !== key);
  if (kept.length === entries.length) return isKnown;
  writeAccounts(file.path, { ...json, auths: Object.fromEntries(kept) });
  return true;
}

/** Names a server as `docker login` does in its file. */
export function serverOf(key: string): string {
  return key === "docker.io" ? "https://index.docker.io/v1/" : key;
}

function helperFor(json: Readonly<Record<string, unknown>>, key: string): string | undefined {
  const helpers = isRecord(json["credHelpers"]) ? Object.entries(json["credHelpers"]) : [];
  const own = helpers.find(([name]) => accountKey(name) === key)?.[1];
  const helper = own ?? json["credsStore"];
  return typeof helper === "string" && helper !== "" ? helper : undefined;
}

/** Replaces all spellings of a registry by one entry. */
function withEntry(
  json: Readonly<Record<string, unknown>>,
  key: string,
  server: string,
  entry: Readonly<Record<string, string>>,
): Readonly<Record<string, unknown>> {
  const others = isRecord(json["auths"])
    ? Object.entries(json["auths"]).filter(([name]) => accountKey(name) !== key)
    : [];
  return { ...json, auths: Object.fromEntries([...others, [server, entry]]) };
}

function readAccounts(path: string): Readonly<Record<string, unknown>> {
  const refuse = (why: string): BuildError => unusable("read", path, why);
  let text: string;
  try {
    text = readSettings({ path, refuse })
      .toString("utf8")
      .replace(/^\uFEFF/, "")
      .trim();
  } catch (error) {
    if (error instanceof BuildError) throw error;
    if (errnoOf(error) === "ENOENT") return {};
    throw unusable("read", path, messageOf(error), error);
  }
  const json = text === "" ? {} : parseJson(text);
  if (isRecord(json)) return json;
  // A half-written file may hold other people's accounts: it is never replaced.
  throw refuse("it is not a JSON object");
}

/** Replaces a file at once and for its owner only. A link stays a link, as with docker. */
function writeAccounts(path: string, json: Readonly<Record<string, unknown>>): void {
  const temporary = (target: string): string => `${target}.kiln-${process.pid}`;
  let target = path;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    target = realPath(path);
    writeFileSync(temporary(target), `${JSON.stringify(json, undefined, "\t")}\n`, { mode: 0o600, flag: "wx" });
    renameSync(temporary(target), target);
  } catch (error) {
    rmSync(temporary(target), { force: true });
    throw unusable("write", path, messageOf(error), error);
  }
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return path;
    throw error;
  }
}

function unusable(verb: string, path: string, why: string, cause?: unknown): BuildError {
  return new BuildError("registry/configuration", `Cannot ${verb} the accounts in "${path}": ${why}`, {
    hint: "repair the file, or name another one with --authfile",
    ...(cause === undefined ? {} : { cause }),
  });
}
