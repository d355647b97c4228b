import { type Digest, digestOf } from "../../lib/core/digest.ts";
import { canonicalJson, type Json } from "../../lib/core/json.ts";
import { formatPlatform } from "../../lib/core/platform.ts";
import type { KeyPart } from "../../lib/store/model.ts";
import { unreachable } from "../../lib/core/errors.ts";
import { type ExecMount, type ExecOp, type FileAction, GROUP_SIZE, type Op } from "../graph/op.ts";

/** Version of the keys; raise it when the meaning of a stored result changes, so that old results never match. */
const FORMAT = "kiln step 3";

/**
 * The part that names a weak isolation: without a root user's rights over files. Absent where those rights are real.
 */
export const ISOLATION = "isolation";
/** Isolation where one id stands for all, or only chroot separates a command from the rest. */
export type WeakIsolation = "single id" | "chroot";

/** Maximum length of a value in a part, in UTF-16 code units; longer values are replaced by their digest. */
const SHOWN_LENGTH = 200;
/** Prefix of the digest of a replaced value. A value that itself begins with this text is replaced too. */
const SHORTENED = "digest of ";
/** Variables with values that are always replaced by digests, because records are stored, shown and exported. */
const DELICATE = /token|secret|passw|credential|auth|private|api_?key/i;

/**
 * Computes the key of a step from its `definitionText`, before its inputs have run. Pure, and independent of time, host
 * paths, environment and job count: two machines with the same inputs must agree.
 */
export function keyOfText(text: string): Digest {
  return digestOf(FORMAT + text);
}

/**
 * Writes the text of a definition key, without the format. Texts of parts other than variables may be concatenated.
 * Variables appear as digests of their groups, so that a thousand of them cost a thousand steps nearly nothing.
 */
export function definitionText(parts: readonly KeyPart[]): string {
  let text = "";
  let group: KeyPart[] = [];
  for (const part of parts) {
    if (part.basis !== undefined && part.basis !== "definition") continue;
    const isVariable = part.name.startsWith("ENV ") || part.name.startsWith("ARG ");
    if (group.length === GROUP_SIZE || (group.length > 0 && !isVariable)) {
      text += groupText(group);
      group = [];
    }
    if (isVariable) group.push(part);
    else text += partText(part);
  }
  return group.length === 0 ? text : text + groupText(group);
}

/** Writes the text of a group. No other part's text begins the same way. */
function groupText(variables: readonly KeyPart[]): string {
  return `\n${digestOf(variables.map(partText).join(""))}`;
}

/**
 * Computes the key of a step by the contents of its inputs; `undefined` when an input's contents are unknown: a
 * `definition` part without the `content` part of the same name.
 */
export function contentKey(parts: readonly KeyPart[]): Digest | undefined {
  const known = new Set<string>();
  let text = `${FORMAT} by content`;
  for (const part of parts) {
    if (part.basis === "content") known.add(part.name);
    if (part.basis === undefined || part.basis === "content") text += partText(part);
  }
  for (const part of parts) if (part.basis === "definition" && !known.has(part.name)) return undefined;
  return digestOf(text);
}

/** Tells whether two steps ask for the same work, whatever the contents of inputs from other steps. */
export function sameWork(a: readonly KeyPart[], b: readonly KeyPart[]): boolean {
  return workText(a) === workText(b);
}

/** Returns the parts of the same step under full isolation; `undefined` where isolation is full already. */
export function strongerParts(parts: readonly KeyPart[]): readonly KeyPart[] | undefined {
  const others = parts.filter((part) => part.name !== ISOLATION);
  return others.length === parts.length ? undefined : others;
}

function workText(parts: readonly KeyPart[]): string {
  let text = "";
  for (const part of parts) if (part.basis === undefined) text += partText(part);
  return text;
}

function partText(part: KeyPart): string {
  // A variable means the same to the command whether ARG or ENV set it; the difference is only for display.
  const name = part.name.startsWith("ARG ") ? `ENV ${part.name.slice(4)}` : part.name;
  return `\n${JSON.stringify(name)}:${JSON.stringify(part.value)}`;
}

/** Writes a value for a part: itself, or its digest when long. Different values give different texts. */
export function shownValue(value: string): string {
  return value.length > SHOWN_LENGTH || value.startsWith(SHORTENED) ? shortened(value) : value;
}

/** Tells whether a value in a part is the digest of another one. */
export function isShortened(value: string): boolean {
  return value.startsWith(SHORTENED);
}

/** Digests a value as JSON, so that values which are not well-formed text stay distinct. */
function shortened(value: string): string {
  return SHORTENED + digestOf(JSON.stringify(value));
}

/**
 * Lists the parts that come from an op alone; inputs add theirs after them. `argNames`: variables that come from ARG,
 * which is shown but does not count in the key.
 */
export function ownParts(op: Op, argNames: readonly string[]): readonly KeyPart[] {
  if (op.kind !== "exec") return otherParts(op);
  const fromArg = new Set(argNames);
  return [...execParts(op), ...op.env.flat().map((variable) => environmentPart(variable, fromArg))];
}

/**
 * A cache of `definitionText(ownParts(op))`, computed without the parts: most steps of a build hit, and then nothing
 * needs their parts. It remembers the texts of the groups of variables that commands share.
 */
export class OwnTexts {
  readonly #groups = new Map<readonly string[], string>();

  of(op: Op): string {
    if (op.kind !== "exec") return definitionText(otherParts(op));
    let text = definitionText(execParts(op));
    for (const group of op.env) text += this.#ofGroup(group);
    return text;
  }

  #ofGroup(group: readonly string[]): string {
    let text = this.#groups.get(group);
    if (text === undefined) {
      text = groupText(group.map((variable) => environmentPart(variable, NO_NAMES)));
      this.#groups.set(group, text);
    }
    return text;
  }
}

const NO_NAMES: ReadonlySet<string> = new Set();

function otherParts(op: Exclude<Op, ExecOp>): readonly KeyPart[] {
  switch (op.kind) {
    case "image": {
      const { kind, manifest, platform, ref, ...unnamed } = op;
      noneOf(unnamed);
      return [
        { name: "kind", value: kind },
        { name: "manifest", value: manifest },
        { name: "platform", value: formatPlatform(platform, "version") },
        { name: "FROM", value: ref, basis: "note" },
      ];
    }
    case "file": {
      // The parent directories of a link's destination are a use of an input, and have their part there.
      const { kind, base, actions, way: _way, ...unnamed } = op;
      noneOf(unnamed);
      return [
        { name: "kind", value: `${kind} on ${base}` },
        ...actions.map((action, index) => actionPart(action, index)),
      ];
    }
    case "local":
    case "git":
    case "http":
    case "merge":
    case "diff":
      return [{ name: "kind", value: op.kind }];
    default:
      return unreachable(op);
  }
}

function environmentPart(variable: string, fromArg: ReadonlySet<string>): KeyPart {
  const equals = variable.indexOf("=");
  const name = equals === -1 ? variable : variable.slice(0, equals);
  const value = equals === -1 ? "" : variable.slice(equals + 1);
  return {
    name: `${fromArg.has(name) ? "ARG" : "ENV"} ${name}`,
    value: DELICATE.test(name) ? shortened(value) : shownValue(value),
  };
}

function execParts(op: ExecOp): KeyPart[] {
  const { kind: _kind, argv, env: _env, cwd, user, platform, network, security, scratchRoot, ...rare } = op;
  const { hostname, shmSizeBytes, cgroupParent, extraHosts, ulimits, mounts, ...unnamed } = rare;
  noneOf(unnamed);
  const parts: KeyPart[] = [
    { name: "kind", value: scratchRoot ? "exec on scratch" : "exec" },
    { name: "command", value: shownValue(canonicalJson(argv)) },
    { name: "WORKDIR", value: cwd },
    { name: "USER", value: user },
    { name: "platform", value: formatPlatform(platform, "version") },
    { name: "network", value: network },
    { name: "security", value: security },
  ];
  const optional = (name: string, value: string | undefined): void => {
    if (value !== undefined) parts.push({ name, value: shownValue(value) });
  };
  optional("hostname", hostname);
  optional("shm size", shmSizeBytes?.toString());
  optional("cgroup parent", cgroupParent);
  if (extraHosts.length > 0) optional("extra hosts", canonicalJson(extraHosts));
  for (const limit of ulimits) optional(`ulimit ${limit.name}`, `${limit.soft}:${limit.hard}`);
  for (const mount of mounts) {
    parts.push({ name: `mount ${mountName(mount)}`, value: shownValue(canonicalJson(mountValue(mount))) });
  }
  return parts;
}

/**
 * Compiles only when every member of an op has been taken out: a member without a part would change results without
 * changing the key.
 */
function noneOf(_unnamed: Readonly<Record<string, never>>): void {
  // Only the type matters.
}

/** Returns the path at which a mount is visible, its name for people. */
function mountName(mount: ExecMount): string {
  return mount.target ?? (mount.type === "secret" ? `secret ${mount.id}` : mount.type);
}

/**
 * Describes a mount for the key. Ids and sharing of caches are left out, as are their contents: a cache never changes
 * the meaning of a step.
 */
function mountValue(mount: ExecMount): Json {
  switch (mount.type) {
    case "bind":
      return { type: mount.type, mode: mount.mode };
    case "cache":
      return {
        type: mount.type,
        mode: mount.mode,
        permissions: mount.permissions,
        uid: mount.uid,
        gid: mount.gid,
        seeded: mount.seed !== undefined,
      };
    case "tmpfs":
    case "secret":
    case "ssh":
      return mount;
    default:
      return unreachable(mount);
  }
}

function actionPart(action: FileAction, index: number): KeyPart {
  const name = `${action.kind} ${index}`;
  switch (action.kind) {
    case "copy": {
      // A source counts by its contents; of its path only the last name counts, because it may name the result.
      const { input: _input, source, ...rest } = action;
      const base = source.slice(source.replace(/\/+$/, "").lastIndexOf("/") + 1);
      return { name, value: shownValue(canonicalJson({ ...rest, base })) };
    }
    case "mkfile": {
      const { text, ...rest } = action;
      return { name, value: shownValue(canonicalJson({ ...rest, text: shownValue(text) })) };
    }
    case "mkdir":
    case "rm":
      return { name, value: shownValue(canonicalJson(action)) };
    default:
      return unreachable(action);
  }
}
