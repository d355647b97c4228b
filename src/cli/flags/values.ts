import { isIP } from "node:net";
import type { SecretSpec, SshSpec } from "../../engine/options.ts";
import { BuildError } from "../../../lib/core/errors.ts";
import { parseSize } from "../../../lib/core/size.ts";
import { familiarReference, parseReference } from "../../../lib/core/reference.ts";
import { keyValues, malformed, splitCsv } from "./csv.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** Parses `K=V` pairs in order; a bare `K` takes its value from the environment, and is left out when unset there. */
export function buildArgs(flags: readonly string[], env: Environment): Record<string, string> {
  return pairs("build-arg", flags, (name) => fromEnvironment(name, env));
}

/**
 * Reads a variable. Node replaces bytes that are not UTF-8 by U+FFFD, so such a value is refused.
 * @throws {BuildError} `cli/usage`
 */
export function fromEnvironment(name: string, env: Environment): string | undefined {
  const value = env[name];
  if (value?.includes("\ufffd") !== true) return value;
  throw new BuildError("cli/usage", `Cannot read the variable ${name} of the environment: it is not UTF-8`);
}

/** Parses `k=v` pairs; a bare `k` has the empty value. */
export function labels(flags: readonly string[]): Record<string, string> {
  return pairs("label", flags, () => "");
}

function pairs(
  what: string,
  flags: readonly string[],
  absent: (name: string) => string | undefined,
): Record<string, string> {
  const values = withoutPrototype();
  for (const flag of flags) {
    const equals = flag.indexOf("=");
    const name = equals === -1 ? flag : flag.slice(0, equals);
    if (name === "") throw malformed(what, flag, "it has no name", 'write "name=value"');
    const value = equals === -1 ? absent(name) : flag.slice(equals + 1);
    if (value !== undefined) values[name] = value;
  }
  return values;
}

/** Makes an object in which every name is free: `__proto__` is one like any other. */
function withoutPrototype(): Record<string, string> {
  const members: Record<string, string> = {};
  Object.setPrototypeOf(members, null);
  return members;
}

/** Parses `name=path|url`. An image's name is shortened to its familiar form: `app:latest` is `app`. */
export function buildContexts(flags: readonly string[]): Record<string, string> {
  const contexts = withoutPrototype();
  for (const flag of flags) {
    const equals = flag.indexOf("=");
    if (equals <= 0) throw malformed("build-context", flag, "it is not name=value", 'write "name=path"');
    if (equals === flag.length - 1) throw malformed("build-context", flag, "its source is empty");
    contexts[familiarName(flag.slice(0, equals))] = flag.slice(equals + 1);
  }
  return contexts;
}

function familiarName(name: string): string {
  try {
    return familiarReference(parseReference(name), "hidden");
  } catch (error) {
    if (error instanceof BuildError && error.code === "reference/malformed") return name;
    throw error;
  }
}

/**
 * Parses `id=…[,src=file|,env=VAR][,type=file|env]`; a bare id is an environment variable of that name, else a file.
 */
export function secrets(flags: readonly string[], env: Environment): SecretSpec[] {
  return flags.map((flag) => {
    const values = keyValues(flag, "secret", "id");
    const type = values.get("type");
    for (const key of values.keys()) {
      if (!["type", "id", "src", "source", "env"].includes(key)) throw malformed("secret", flag, `unknown key ${key}`);
    }
    if (type !== undefined && type !== "file" && type !== "env") {
      throw malformed("secret", flag, `type is "file" or "env", not ${JSON.stringify(type)}`);
    }
    let path = values.get("src") ?? values.get("source");
    let variable = values.get("env");
    if (path === "" || variable === "") throw malformed("secret", flag, "the name of its file or variable is empty");
    // `type=env,src=NAME` names a variable with the file's key.
    if (type === "env" && variable === undefined) [variable, path] = [path, undefined];
    const id = values.get("id");
    if (id === undefined || id === "")
      throw malformed("secret", flag, "it has no id", 'write "id=token,src=token.txt"');
    if (variable !== undefined) return { id, from: "env", variable };
    if (path !== undefined) return { id, from: "file", path };
    if (type !== "file" && env[id] !== undefined) return { id, from: "env", variable: id };
    return { id, from: "file", path: id };
  });
}

/** Parses `default` or `id[=socket]` or `id=key,key`; without a path, the socket of SSH_AUTH_SOCK. */
export function sshAgents(flags: readonly string[], env: Environment): SshSpec[] {
  return flags.map((flag) => {
    const equals = flag.indexOf("=");
    const id = equals === -1 ? flag : flag.slice(0, equals);
    const paths = (equals === -1 ? (env["SSH_AUTH_SOCK"] ?? "") : flag.slice(equals + 1)).split(",").filter(Boolean);
    if (paths.length === 0 && equals !== -1) throw malformed("ssh", flag, "it names no socket and no key");
    if (paths.length === 0) {
      throw malformed(
        "ssh",
        flag,
        "SSH_AUTH_SOCK is not set",
        "start an agent: eval $(ssh-agent); ssh-add; or give a key file: --ssh default=~/.ssh/id_ed25519",
      );
    }
    return { id: id === "" ? "default" : id, paths };
  });
}

/** Parses `host:ip`, `host=ip`, `host=[v6]`. The text `host-gateway` stands for this machine as steps see it. */
export function extraHosts(flags: readonly string[]): { readonly name: string; readonly address: string }[] {
  return flags.map((flag) => {
    const [, name, text] = /^([^=:]+)[=:](.+)$/.exec(flag) ?? [];
    if (name === undefined || text === undefined) {
      throw malformed("add-host", flag, "it is not host:ip", 'write "db:10.0.0.5"');
    }
    const address = text === "host-gateway" ? "127.0.0.1" : text.replace(/^\[(.*)\]$/, "$1");
    if (isIP(address) === 0) throw malformed("add-host", flag, `failed to parse IP ${JSON.stringify(address)}`);
    return { name: name.toLowerCase(), address };
  });
}

const ULIMITS = "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split(
  " ",
);

/** Parses `name=soft[:hard]`; -1 is unlimited. */
export function ulimits(
  flags: readonly string[],
): { readonly name: string; readonly soft: number; readonly hard: number }[] {
  return flags.map((flag) => {
    const [, name = "", softText = "", hardText] = /^([a-z]+)=(-1|\d+)(?::(-1|\d+))?$/.exec(flag) ?? [];
    if (!ULIMITS.includes(name)) {
      throw malformed("ulimit", flag, "it is not name=soft[:hard]", `names: ${ULIMITS.join(", ")}`);
    }
    const soft = Number(softText);
    const hard = hardText === undefined ? soft : Number(hardText);
    if (hard !== -1 && (soft > hard || soft === -1)) {
      throw malformed("ulimit", flag, "ulimit soft limit must be less than or equal to hard limit");
    }
    return { name, soft, hard };
  });
}

/** Parses a flag's size, in docker's powers of 1024. */
export function memorySize(text: string, flag: string): number {
  const size = parseSize(text);
  if (size === undefined) throw malformed(flag, text, "it is not a size", 'write it like "64m" or "2g"');
  return size;
}

/** Lists all values of a repeatable flag with comma lists. */
export function commaList(flags: readonly string[], flag: string): string[] {
  return flags.flatMap((text) => splitCsv(text, flag)).filter((value) => value !== "");
}
