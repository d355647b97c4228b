import { BuildError } from "./errors.ts";

/** The place of a git tree, in any form that ADD, build contexts and `--build-context` take. */
export interface GitUrl {
  /** The URL given to git, without query and fragment. */
  readonly remote: string;
  /** Branch, tag, full ref or commit; `undefined` is the remote's HEAD. */
  readonly ref: string | undefined;
  readonly subdir: string | undefined;
  /** A commit, full or abbreviated, that the checkout must match. */
  readonly checksum: string | undefined;
  /** `undefined`: not given in the URL. */
  readonly keepGitDir: boolean | undefined;
  readonly submodules: boolean | undefined;
  readonly mtime: "checkout" | "commit" | undefined;
  /** True to fetch the commit `checksum` itself, wherever the ref points by now. */
  readonly fetchByCommit: boolean;
}

/**
 * Parses `git://`, `ssh://`, `git@host:path`, and `http(s)://` with a path that ends in `.git`, with `#ref:subdir` or a
 * query (`ref tag branch subdir checksum commit keep-git-dir submodules mtime`). `undefined` for a text that is no git
 * URL.
 * @throws {BuildError} `source/git` for one that contradicts itself
 */
export function parseGitUrl(text: string): GitUrl | undefined {
  const found = SCHEME.exec(text) ?? SCP.exec(text);
  if (found?.groups === undefined) return undefined;
  const { base = "", scheme = "ssh", query, fragment } = found.groups;
  if (/^https?$/i.test(scheme) && !base.endsWith(".git")) return undefined;
  // Only a text with a scheme is a URL with escapes in it.
  const place = found.groups["scheme"] === undefined ? (fragment ?? "") : unescaped(text, fragment ?? "");
  const [fragmentRef = "", ...subdirs] = place.split(":");
  const asked = readQuery(text, query);
  const subdir = agree(text, "subdir", subdirs.join(":") || undefined, asked.get("subdir"));
  let ref = agree(text, "ref", fragmentRef || undefined, asked.get("ref"));
  const [tag, branch] = [asked.get("tag"), asked.get("branch")];
  if (tag !== undefined && branch !== undefined) throw bad(text, "branch conflicts with tag");
  if (tag !== undefined) ref = agree(text, "ref", ref, withPrefix("refs/tags/", tag));
  if (branch !== undefined) ref = agree(text, "ref", ref, withPrefix("refs/heads/", branch));
  const checksum = asked.get("checksum") ?? asked.get("commit");
  const mtime = asked.get("mtime");
  if (mtime !== undefined && mtime !== "checkout" && mtime !== "commit") {
    throw bad(text, `invalid mtime value: ${JSON.stringify(mtime)} (must be "checkout" or "commit")`);
  }
  return {
    remote: base,
    // An abbreviated id is only compared with HEAD; a full id is itself the ref to fetch.
    ref: ref ?? (checksum !== undefined && isCommit(checksum) ? checksum : undefined),
    subdir,
    checksum,
    keepGitDir: readFlag(text, "keep-git-dir", asked),
    submodules: readFlag(text, "submodules", asked),
    mtime,
    fetchByCommit: readFlag(text, "fetch-by-commit", asked) ?? false,
  };
}

/** Tells whether a text is a full commit id, of SHA-1 or SHA-256. */
export function isCommit(text: string): boolean {
  return /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text);
}

/**
 * Completes `github.com/user/repository`, the old form of contexts without a scheme, with `#ref:subdir` or a query;
 * `undefined` for any other text.
 */
export function hubUrl(text: string): string | undefined {
  const [, path, rest = ""] = /^(github\.com\/[^/?#]+\/[^/?#]+?)(?:\.git)?\/?([?#].*)?$/.exec(text) ?? [];
  return path === undefined ? undefined : `https://${path}.git${rest}`;
}

function unescaped(text: string, fragment: string): string {
  try {
    return decodeURIComponent(fragment);
  } catch {
    throw bad(text, "its fragment has a stray percent sign");
  }
}

const REST = String.raw`(?:\?(?<query>[^#]*))?(?:#(?<fragment>.*))?$`;
const SCHEME = new RegExp(String.raw`^(?<base>(?<scheme>https?|git|ssh):\/\/[^?#]+)${REST}`, "i");
const SCP = new RegExp(String.raw`^(?<base>[A-Za-z0-9_-]+@[A-Za-z0-9.-]+:[^?#]*)${REST}`);

const KEYS = new Set("ref tag branch subdir checksum commit keep-git-dir submodules mtime fetch-by-commit".split(" "));
/** Keys without a value that mean `true`. */
const FLAGS = new Set(["keep-git-dir", "submodules", "fetch-by-commit"]);

function readQuery(text: string, query: string | undefined): Map<string, string> {
  const asked = new Map<string, string>();
  for (const [key, value] of new URLSearchParams(query ?? "")) {
    if (!KEYS.has(key)) throw bad(text, `unexpected query ${JSON.stringify(key)}`);
    if (asked.has(key)) throw bad(text, `query ${JSON.stringify(key)} has multiple values`);
    if (value === "" && !FLAGS.has(key)) throw bad(text, `query ${JSON.stringify(key)} has no value`);
    asked.set(key, value);
  }
  return asked;
}

function readFlag(text: string, key: string, asked: ReadonlyMap<string, string>): boolean | undefined {
  const value = asked.get(key);
  if (value === undefined) return undefined;
  if (["", "1", "t", "T", "true", "TRUE", "True"].includes(value)) return true;
  if (["0", "f", "F", "false", "FALSE", "False"].includes(value)) return false;
  throw bad(text, `invalid ${key} value: ${JSON.stringify(value)}`);
}

function agree(text: string, what: string, one: string | undefined, other: string | undefined): string | undefined {
  if (one !== undefined && other !== undefined && one !== other) {
    throw bad(text, `${what} conflicts: ${JSON.stringify(one)} vs ${JSON.stringify(other)}`);
  }
  return one ?? other;
}

function withPrefix(prefix: string, name: string): string {
  return name.startsWith(prefix) ? name : prefix + name;
}

function bad(text: string, why: string): BuildError {
  const shown = text.replace(/\/\/[^/@]*@/, "//***@");
  return new BuildError("source/git", `Cannot use ${JSON.stringify(shown)} as a git source: ${why}`);
}
